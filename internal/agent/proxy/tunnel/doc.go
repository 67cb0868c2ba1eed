// Package tunnel copies bytes between two connections: those of protocols that are not understood, and tunnels made by Upgrade and
// CONNECT.
//
// It must not interpret what it carries, choose or dial an upstream, log, or count anything but bytes.
package tunnel
