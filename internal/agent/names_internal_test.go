package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"fairlead.dev/fairlead/internal/agent/dns"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// Pods decide how many names are looked up for them, so the proxies that policies name are found by somebody else: what becomes of the one
// that looks up the names of pods is of no matter to the other, and the other way round.
func TestProxiesAreFoundApartFromWhatPodsCall(t *testing.T) {
	for name, tc := range map[string]struct {
		closes func(a *Agent) *dns.Resolver
		ended  func(o routes.Options) routes.Names
		other  func(o routes.Options) routes.Names
	}{
		"pods": {func(a *Agent) *dns.Resolver { return a.names }, func(o routes.Options) routes.Names { return o.Names },
			func(o routes.Options) routes.Names { return o.ProxyNames }},
		"proxies": {func(a *Agent) *dns.Resolver { return a.proxies }, func(o routes.Options) routes.Names { return o.ProxyNames },
			func(o routes.Options) routes.Names { return o.Names }},
	} {
		t.Run(name, func(t *testing.T) {
			a := &Agent{opts: Options{Node: "n", Log: slog.New(slog.DiscardHandler), AccessLog: io.Discard}}
			if err := a.newDataPlane(); err != nil {
				t.Fatal(err)
			}
			defer a.proxies.Close()
			defer a.names.Close()
			tc.closes(a).Close()
			nobodyWaits, cancel := context.WithCancel(t.Context())
			cancel()
			o := a.routesOptions()
			if _, _, err := tc.ended(o).Lookup(nobodyWaits, "", "a.example"); !errors.Is(err, dns.ErrClosed) {
				t.Errorf("the one that has ended says %v", err)
			}
			if _, _, err := tc.other(o).Lookup(nobodyWaits, "", "a.example"); errors.Is(err, dns.ErrClosed) {
				t.Errorf("the other one says %v", err)
			}
		})
	}
}
