package taps

import (
	"fmt"
	"net/netip"
	"strings"

	"fairlead.dev/fairlead/internal/liveapi"
)

// HostMatch says for which hosts calls are wanted. It is immutable.
type HostMatch struct {
	host, suffix string // suffix: of below
	below        bool
}

// NewHostMatch returns what wants calls to a host or an address, without a port, to those below *.suffix, or, where it is empty, to any.
func NewHostMatch(host string) (*HostMatch, error) {
	m := &HostMatch{host: strings.ToLower(strings.TrimSuffix(host, "."))}
	m.suffix, m.below = strings.CutPrefix(m.host, "*")
	if strings.Contains(m.suffix, "*") || m.below && !strings.HasPrefix(m.suffix, ".") {
		return nil, fmt.Errorf("host is %s; write a host, or *.example.com for those below example.com", liveapi.Quote(host))
	}
	return m, nil
}

// Matches reports whether a call is wanted that names a host, with or without a port, and went to an address.
func (m *HostMatch) Matches(named []byte, to netip.Addr) bool {
	if m.host == "" {
		return true
	}
	host := hostOf(named, to)
	if m.below {
		return strings.HasSuffix(host, m.suffix) && len(host) > len(m.suffix)
	}
	return host == m.host || to.String() == m.host
}

// hostOf returns the host that a call is for, in lower case and without a port, or the address where it names none.
func hostOf(named []byte, to netip.Addr) string {
	if len(named) == 0 {
		return to.String()
	}
	host := strings.ToLower(string(named))
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.String()
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}
