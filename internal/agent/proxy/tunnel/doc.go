// Package tunnel carries connections that are passed through: it connects them to a server as the policy says (Connector), as a call
// that has its answer when it is connected, and copies bytes between client and server (Tunnel), also for tunnels made by Upgrade and
// CONNECT.
//
// It must not interpret what it carries, decide on retries (call) or choose an endpoint (upstream), log, or count anything but bytes.
package tunnel
