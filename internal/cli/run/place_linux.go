package run

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"sync"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/standalone/isolate"
	"fairlead.dev/fairlead/internal/standalone/policies"
)

// canCapture says why the command's connections cannot be captured; nil: they may be.
func canCapture() error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root; without --capture the command is pointed at a proxy")
	}
	return nil
}

// namespace is a network namespace of the command's own.
type namespace struct {
	*isolate.Space
	listeners []*transport.Listener
	serving   sync.WaitGroup
}

func (r *runner) openNamespace() (place, error) {
	address := func(name string) (netip.Addr, bool) {
		a, ok, _ := policies.ServiceAddress(r.services, r.options.Namespace, name, 0)
		return a, ok
	}
	space, err := isolate.New(isolate.Options{Server: r.engine, Log: slog.New(slog.DiscardHandler), Address: address})
	if err != nil {
		return nil, err
	}
	n := &namespace{Space: space}
	for _, m := range r.maps {
		for _, address := range []string{loopback4, loopback6} {
			l, err := space.Listen(netip.AddrPortFrom(netip.MustParseAddr(address), m.port))
			if address == loopback6 && err != nil { // this machine has no IPv6
				continue
			}
			if err != nil {
				n.Close()
				return nil, err
			}
			n.listeners = append(n.listeners, l)
			n.serving.Go(func() { r.front.Map(l, m.host, m.to) })
		}
	}
	r.out.say("connections of the command are captured; its localhost is its own, and --map has a port of it stand for one of this machine")
	return n, nil
}

// Close implements place.
func (n *namespace) Close() {
	for _, l := range n.listeners {
		_ = l.Close()
	}
	n.Space.Close()
	n.serving.Wait()
}
