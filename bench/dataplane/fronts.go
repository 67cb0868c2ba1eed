package main

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

const (
	upstreamIP   = "10.99.0.1"
	upstreamMark = 0x66
)

// front is a port that the load generator calls, and the server's for proxies that cannot mark their connections. All fronts are redirected
// to the proxy under test; one that cannot ask what was called listens for each of them on a port of its own.
type front struct {
	port, back uint16
	// offset is from the port that a proxy listens on for the first front to the one for this.
	offset int
}

var (
	plainFront = front{port: 8080, back: 8081}
	// tlsFront is called in the clear; the server there speaks TLS.
	tlsFront = front{port: 8444, back: 8082, offset: 100}
	// bulkFront answers every call with bulkSize bytes. opaqueFront is the same, of which nothing may be looked at.
	bulkFront   = front{port: 8446, back: 8083, offset: 200}
	opaqueFront = front{port: 8447, back: 8083, offset: 300}

	fronts = []front{plainFront, tlsFront, bulkFront, opaqueFront}
)

// called is where the load generator connects to.
func (f front) called() string { return fmt.Sprintf("%s:%d", upstreamIP, f.port) }

// server is where proxies connect to.
func (f front) server() netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(upstreamIP), f.back)
}

// redirect sends calls to the fronts through a candidate's proxy, or lets them go directly where it has none. fairlead's agent tracks the
// proxy's own connections in a zone of their own besides, which costs every packet a comparison.
func redirect(c *candidate) error {
	rules := "table ip bench\ndelete table ip bench\n"
	fairlead := strings.HasPrefix(c.name, "fairlead")
	if c.port != 0 {
		rules += fmt.Sprintf("table ip bench {\n chain out {\n  type nat hook output priority -100; policy accept;\n  meta mark %d return\n", upstreamMark)
		for _, f := range fronts {
			to := c.port
			if !fairlead {
				to += f.offset
			}
			rules += fmt.Sprintf("  ip daddr %s tcp dport %d redirect to :%d\n", upstreamIP, f.port, to)
		}
		rules += " }\n}\n"
	}
	if fairlead {
		rules += fmt.Sprintf("table ip bench {\n chain zone {\n  type filter hook output priority raw; policy accept;\n  meta mark %d ct original zone set %d\n }\n}\n",
			upstreamMark, upstreamMark)
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
