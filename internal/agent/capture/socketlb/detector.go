package socketlb

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Every is how often a Detector looks again: what translates may be installed or removed while the agent runs.
const Every = 30 * time.Second

// most bounds how many Services of a family are probed until one gives an answer: some may be exempt, or have no endpoint just now.
const most = 3

// Translated says in which address families the node translates the addresses of Services.
type Translated struct{ V4, V6 bool }

// DetectorOptions configure a Detector.
type DetectorOptions struct {
	// Probe is Probe, but in tests.
	Probe func(service netip.AddrPort) (translated bool, err error)
	// Changed is called when the answer has changed; at first nothing is translated.
	Changed func(Translated)
	Log     *slog.Logger
}

// Detector knows whether the node translates the addresses of Services.
type Detector struct {
	opts DetectorOptions // immutable

	looking sync.Mutex // serialises look, which makes system calls; taken before mu

	mu sync.Mutex
	// guarded by mu
	services []netip.AddrPort
	answered bool // some Service could be probed
	now      Translated
}

// NewDetector returns a detector that has not looked yet.
func NewDetector(o DetectorOptions) *Detector { return &Detector{opts: o} }

// SetServices says which addresses of Services with endpoints there are. Until it has an answer the detector looks at once, so that the
// first calls are treated by it.
func (d *Detector) SetServices(services []netip.AddrPort) {
	d.mu.Lock()
	d.services = services
	answered := d.answered
	d.mu.Unlock()
	if !answered {
		d.look()
	}
}

// Now returns what was found last.
func (d *Detector) Now() Translated {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// Run looks again from time to time until ctx ends.
func (d *Detector) Run(ctx context.Context) error {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			d.look()
		}
	}
}

// look probes some Services of each family. A family of which none gives an answer is taken to be as it was.
func (d *Detector) look() {
	d.looking.Lock()
	defer d.looking.Unlock()
	d.mu.Lock()
	services, before := d.services, d.now
	d.mu.Unlock()
	next := before
	four, fourKnown := d.probeFamily(services, netip.Addr.Is4)
	if fourKnown {
		next.V4 = four
	}
	six, sixKnown := d.probeFamily(services, netip.Addr.Is6)
	if sixKnown {
		next.V6 = six
	}
	d.mu.Lock()
	d.now, d.answered = next, d.answered || fourKnown || sixKnown
	d.mu.Unlock()
	if next != before {
		d.opts.Log.Info("translation of Services' addresses at connect", "ipv4", next.V4, "ipv6", next.V6)
		d.opts.Changed(next)
	}
}

// probeFamily reports whether any of the first Services of a family is translated; known is false if none could be probed.
func (d *Detector) probeFamily(services []netip.AddrPort, family func(netip.Addr) bool) (translated, known bool) {
	left := most
	for _, s := range services {
		if !family(s.Addr()) {
			continue
		}
		translated, err := d.opts.Probe(s)
		if err != nil {
			d.opts.Log.Debug("cannot tell whether a Service's address is translated", "err", err)
		}
		if known = known || err == nil; translated {
			return true, true
		}
		if left--; left == 0 {
			break
		}
	}
	return false, known
}
