// Package tunnel passes bytes on that nobody looks at: connections of other protocols, and tunnels made by Upgrade and CONNECT.
//
// It must not interpret what it carries, choose or dial an upstream, log, or count anything but bytes.
package tunnel
