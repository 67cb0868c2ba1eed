package capture

import (
	"net/netip"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// attached is a sandbox's network namespace and the mechanism's attachment to it.
type attached struct {
	ns *netns.Namespace
	mechanism.Attachment
}

// attach opens the network namespace mounted at a path and attaches to it.
func (m *Manager) attach(path string) (*attached, error) {
	ns, err := m.options.Host.Open(path)
	if err != nil {
		return nil, failed(ReasonNamespace, err)
	}
	a, err := m.mechanism.Attach(ns)
	if err != nil {
		_ = ns.Close()
		return nil, failed(ReasonRules, err)
	}
	return &attached{ns: ns, Attachment: a}, nil
}

// close closes both; what is installed stays.
func (a *attached) close() {
	_ = a.Attachment.Close()
	_ = a.ns.Close()
}

// clientSocket is how to find the socket of a redirected connection's client.
func (a *attached) clientSocket(c mechanism.Connection) (ns *netns.Namespace, local, remote netip.AddrPort) {
	local, remote = a.ClientSocket(c)
	return a.ns, local, remote
}
