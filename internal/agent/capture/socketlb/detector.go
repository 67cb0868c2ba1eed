package socketlb

import (
	"context"
	"errors"
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

// Answer reports whether the addresses of Services of a family are translated.
type Answer string

// The answers. Where it is Unknown they are taken for not translated.
const (
	Unknown Answer = "unknown"
	Yes     Answer = "yes"
	No      Answer = "no"
)

// Answers are what was found last in each family.
type Answers struct{ IPv4, IPv6 Answer }

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
	// guarded by looking
	warned bool // that this node cannot be asked

	mu sync.Mutex
	// guarded by mu
	services []netip.AddrPort
	now      Answers
}

// NewDetector returns a detector that has not looked yet.
func NewDetector(o DetectorOptions) *Detector {
	return &Detector{opts: o, now: Answers{Unknown, Unknown}}
}

// SetServices says which addresses of Services with endpoints there are. Until it has an answer the detector looks at once, so that the
// first calls are treated by it.
func (d *Detector) SetServices(services []netip.AddrPort) {
	d.mu.Lock()
	d.services = services
	answered := d.now != Answers{Unknown, Unknown}
	d.mu.Unlock()
	if !answered {
		d.look()
	}
}

// Now returns what was found last.
func (d *Detector) Now() Answers {
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
	next := Answers{
		IPv4: d.probeFamily(services, netip.Addr.Is4, before.IPv4),
		IPv6: d.probeFamily(services, netip.Addr.Is6, before.IPv6),
	}
	d.mu.Lock()
	d.now = next
	d.mu.Unlock()
	if was, is := before.translated(), next.translated(); is != was {
		d.opts.Log.Info("translation of Services' addresses at connect", "ipv4", next.IPv4, "ipv6", next.IPv6)
		d.opts.Changed(is)
	}
}

func (a Answers) translated() Translated { return Translated{V4: a.IPv4 == Yes, V6: a.IPv6 == Yes} }

// probeFamily asks whether any of the first Services of a family is translated. Where none can be probed it is as it was before.
func (d *Detector) probeFamily(services []netip.AddrPort, family func(netip.Addr) bool, before Answer) Answer {
	left, answer := most, before
	for _, s := range services {
		if !family(s.Addr()) {
			continue
		}
		translated, err := d.opts.Probe(s)
		switch {
		case translated:
			return Yes
		case err == nil:
			answer = No
		case err != nil:
			d.report(err)
		}
		if left--; left == 0 {
			break
		}
	}
	return answer
}

// report logs that a probe has failed: as a warning once where that is the node's doing, for then it will not get better by itself.
func (d *Detector) report(err error) {
	if errors.Is(err, ErrCannotProbe) && !d.warned {
		d.warned = true
		d.opts.Log.Warn("cannot find out whether the addresses of Services are translated at connect; they are taken for not translated", "err", err)
		return
	}
	d.opts.Log.Debug("cannot tell whether a Service's address is translated", "err", err)
}
