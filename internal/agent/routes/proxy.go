package routes

import (
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/agent/connectproxy"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// throughProxy reports whether calls go through an HTTP proxy.
func (b *Binding) throughProxy() bool { return b.source.To.Via.Host != "" }

// ThroughProxy reports whether calls that the candidate governs go through an HTTP proxy.
func (c *Candidate) ThroughProxy() bool { return c.throughProxy() }

// proxy has connections to an HTTP proxy lead on to a destination.
type proxy struct {
	host string
	port uint16
	// credentials are what the proxy is given; nil: nothing, or they are not known though there should be some (unknown).
	credentials *policy.Credentials
	unknown     bool
}

// Connect implements upstream.Proxy.
func (p proxy) Connect(c *transport.Conn, port uint16) error {
	if p.unknown { // to ask without them would have the proxy see what the policy does not mean it to
		return &upstream.ProxyError{Err: connectproxy.ErrCredentials, Refused: true}
	}
	q := connectproxy.Request{Host: p.host, Port: p.port}
	if port != 0 { // TLS may be spoken on another one
		q.Port = port
	}
	if p.credentials != nil {
		q.Username, q.Password = p.credentials.Username, p.credentials.Password
	}
	var answer error
	if err := c.Pin(func() { answer = connectproxy.Connect(c, q) }); err != nil {
		return err
	}
	if answer != nil {
		return &upstream.ProxyError{Err: answer, Refused: connectproxy.Final(answer)}
	}
	return nil
}

// proxy returns how the newest version has connections lead to a destination; nil: they do without a proxy.
func (v versions) proxy(destination string) upstream.Proxy {
	b := v[0]
	colon := strings.LastIndexByte(destination, ':')
	if !b.throughProxy() || colon < 0 {
		return nil
	}
	port, err := strconv.ParseUint(destination[colon+1:], 10, 16)
	if err != nil {
		return nil
	}
	given := b.material.credentials
	return proxy{host: destination[:colon], port: uint16(port), credentials: given, unknown: given == nil && b.source.To.Via.Credentials != ""}
}
