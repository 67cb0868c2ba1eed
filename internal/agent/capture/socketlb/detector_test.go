package socketlb_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/socketlb"
)

// fakeNode translates the Services that it is given. Services that it does not know cannot be probed.
type fakeNode struct {
	mu       sync.Mutex
	services map[netip.AddrPort]bool
	probed   int
	changes  []socketlb.Translated
}

func (f *fakeNode) probe(service netip.AddrPort) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probed++
	translated, known := f.services[service]
	if !known {
		return false, errors.New("no route")
	}
	return translated, nil
}

func (f *fakeNode) set(services map[netip.AddrPort]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.services = services
}

func (f *fakeNode) want(t *testing.T, when string, probed int, changes ...socketlb.Translated) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.probed != probed || !slices.Equal(f.changes, changes) {
		t.Errorf("%s: %d probes, changes %v, want %d, %v", when, f.probed, f.changes, probed, changes)
	}
}

func (f *fakeNode) detector() *socketlb.Detector {
	return socketlb.NewDetector(socketlb.DetectorOptions{Probe: f.probe, Log: slog.New(slog.DiscardHandler), Changed: func(now socketlb.Translated) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changes = append(f.changes, now)
	}})
}

func TestDetector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNode{}
		d := f.detector()
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = d.Run(ctx) })
		defer running.Wait()
		defer stop()
		all := []netip.AddrPort{service4, other4, service6}

		d.SetServices(nil)
		f.want(t, "without Services", 0)
		d.SetServices(all)
		f.want(t, "without an answer", 3)
		f.set(map[netip.AddrPort]bool{service4: false, other4: false})
		d.SetServices(all)
		f.want(t, "asked again for an answer", 6)
		d.SetServices(all)
		f.want(t, "not asked again", 6)

		f.set(map[netip.AddrPort]bool{service4: false, other4: true, service6: false})
		time.Sleep(socketlb.Every)
		synctest.Wait()
		four := socketlb.Translated{V4: true}
		f.want(t, "one Service of IPv4 is translated", 9, four)
		f.set(map[netip.AddrPort]bool{service4: true, service6: true})
		time.Sleep(socketlb.Every)
		synctest.Wait()
		both := socketlb.Translated{V4: true, V6: true}
		f.want(t, "IPv6 too; the first answer is enough", 11, four, both)
		f.set(map[netip.AddrPort]bool{service4: false, other4: false})
		time.Sleep(socketlb.Every)
		synctest.Wait()
		f.want(t, "IPv4 no longer, IPv6 does not answer", 14, four, both, socketlb.Translated{V6: true})
	})
}

func TestADetectorAsksFewServices(t *testing.T) {
	f := &fakeNode{}
	var many []netip.AddrPort
	services := map[netip.AddrPort]bool{}
	for i := range 100 {
		s := netip.AddrPortFrom(service4.Addr(), uint16(i))
		many = append(many, s)
		services[s] = i == 50
	}
	f.set(services)
	f.detector().SetServices(many)
	f.want(t, "of a hundred", 3)
}

// A node that cannot be asked is a reason to warn, once: without it the answer would be taken for no.
func TestADetectorWarnsOnceOfANodeThatCannotBeAsked(t *testing.T) {
	var log strings.Builder
	cannot := func(netip.AddrPort) (bool, error) { return false, fmt.Errorf("probe: %w", socketlb.ErrCannotProbe) }
	d := socketlb.NewDetector(socketlb.DetectorOptions{
		Probe: cannot, Log: slog.New(slog.NewTextHandler(&log, nil)), Changed: func(socketlb.Translated) { t.Error("changed") },
	})
	for range 3 {
		d.SetServices([]netip.AddrPort{service4, service6})
	}
	if got := d.Now(); got != (socketlb.Answers{IPv4: socketlb.Unknown, IPv6: socketlb.Unknown}) {
		t.Errorf("found %+v", got)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "tcp_fastopen") {
		t.Errorf("the log says:\n%s", got)
	}
}

func TestWhatADetectorKnows(t *testing.T) {
	f := &fakeNode{}
	d := f.detector()
	for _, step := range []struct {
		services map[netip.AddrPort]bool
		want     socketlb.Answers
	}{
		{nil, socketlb.Answers{IPv4: socketlb.Unknown, IPv6: socketlb.Unknown}},
		{map[netip.AddrPort]bool{service4: false}, socketlb.Answers{IPv4: socketlb.No, IPv6: socketlb.Unknown}},
	} {
		f.set(step.services)
		d.SetServices([]netip.AddrPort{service4, service6})
		if got := d.Now(); got != step.want {
			t.Errorf("with %v: %+v, want %+v", step.services, got, step.want)
		}
	}
}
