package routes

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// askedNames are Names that all have one address, and that know what they were asked for.
type askedNames []string

func (a *askedNames) Lookup(_ context.Context, _, name string) ([]netip.Addr, time.Time, error) {
	*a = append(*a, name)
	return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, time.Now().Add(time.Hour), nil
}

// Pods decide how many names they call, so those of the proxies are looked up apart from them.
func TestProxiesAreLookedUpApart(t *testing.T) {
	direct := binding("direct", policy.Target{Kind: policy.TargetHost, Host: "host.example"})
	through := binding("through", policy.Target{Kind: policy.TargetHost, Host: "host.example", Via: policy.Via{Host: "proxy.corp.example", Port: 3128}})
	for name, tc := range map[string]struct {
		binding          policy.Binding
		together         bool // there is but one
		names, ofProxies []string
	}{
		"a host":              {direct, false, []string{"host.example"}, nil},
		"a proxy":             {through, false, nil, []string{"proxy.corp.example"}},
		"a host, by but one":  {direct, true, []string{"host.example"}, nil},
		"a proxy, by but one": {through, true, []string{"proxy.corp.example"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var names, ofProxies askedNames
			o := Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Names: &names}
			if !tc.together {
				o.ProxyNames = &ofProxies
			}
			s, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			install(t, s, snapshot(tc.binding))
			r := routeTo(t, s, "a", "192.0.2.1:80")
			r.FindAddresses(t.Context())
			if !slices.Equal(names, tc.names) || !slices.Equal(ofProxies, tc.ofProxies) {
				t.Errorf("asked for %q, and as proxies for %q", names, ofProxies)
			}
			if !r.KnowsAddresses(time.Now()) {
				t.Error("nothing was found")
			}
		})
	}
}
