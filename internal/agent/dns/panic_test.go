package dns

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A panic is the failure of the one look-up, wherever it happens: those of others, and the process, go on.
func TestAPanicIsAFailureOfItsLookUp(t *testing.T) {
	fail := func() { panic("as the test asks") }
	for name, tc := range map[string]struct {
		mistake func(r *Resolver)
		want    []netip.Addr
		err     error
		panics  int32
	}{
		"in both questions": {func(r *Resolver) {
			r.ask = func(context.Context, []netip.AddrPort, question) (records, error) { fail(); return records{}, nil }
		}, nil, errPanicked, 2},
		"in one question": {func(r *Resolver) {
			r.ask = func(_ context.Context, _ []netip.AddrPort, q question) (records, error) {
				if q.kind == dnsmessage.TypeAAAA {
					fail()
				}
				return records{addrs: addrs("192.0.2.1"), ttl: time.Minute}, nil
			}
		}, addrs("192.0.2.1"), nil, 1},
		"around them": {func(r *Resolver) { r.ctx = nil }, nil, errPanicked, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var panics atomic.Int32
			r := newResolver(t, Options{Servers: []netip.AddrPort{{}}, Panicked: func(_ any, stack []byte) {
				panics.Add(1)
				if !strings.Contains(string(stack), "internal/agent/dns.") {
					t.Errorf("on %s", stack)
				}
			}})
			tc.mistake(r)
			got, until, err := r.Lookup(t.Context(), "", "api.example")
			if !errors.Is(err, tc.err) || !slices.Equal(got, tc.want) || panics.Load() != tc.panics {
				t.Errorf("%v, %v, %d panics were reported", got, err, panics.Load())
			}
			if until.IsZero() || until.After(time.Now().Add(failedFor)) {
				t.Errorf("believed until %v", until)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.underWay != 0 {
				t.Errorf("%d look-ups are under way", r.underWay)
			}
		})
	}
}
