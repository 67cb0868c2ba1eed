package routes

import (
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

//enforces:agent to[].host
func TestHosts(t *testing.T) {
	for _, tc := range []struct {
		pattern, host string
		want          bool
	}{
		{"api.example", "api.example", true},
		{"api.example", "API.Example:8080", true},
		{"api.example", "api.example.", true},
		{"api.example", "xapi.example", false},
		{"*.example", "api.example", true},
		{"*.example", "a.b.example", true},
		{"*.example", ".example", false},
		{"*.example", "example", false},
		{"*", "anything", true},
		{"*", "", true},
		{"::1", "[::1]:80", true},
	} {
		p := compileHost(tc.pattern)
		if got := p.matches(AppendHost(nil, []byte(tc.host))); got != tc.want {
			t.Errorf("%s matches %s: %v", tc.pattern, tc.host, got)
		}
	}
}

func TestRulesForGRPC(t *testing.T) {
	b := binding("k", policy.Target{Kind: policy.TargetAny})
	for _, path := range []string{"shop.v1.Inventory/Reserve", "shop.v1.Inventory/*", "*/Cancel"} {
		b.Rules = append(b.Rules, policy.Rule{Name: path, Match: []policy.RequestMatch{{PathType: policy.PathGRPC, Path: path}}, Settings: b.Base})
	}
	b.Rules = append(b.Rules, policy.Rule{Name: "posts", Match: []policy.RequestMatch{{Methods: []string{"POST"}}}, Settings: b.Base})
	s := newTable(t)
	install(t, s, snapshot(b))
	route := routeTo(t, s, "a", "192.0.2.1:80")
	if !route.NamesGRPC() {
		t.Error("nobody looks whether a request is a gRPC call")
	}
	for path, want := range map[string]string{
		"/shop.v1.Inventory/Reserve": "shop.v1.Inventory/Reserve", "/shop.v1.Inventory/reserve": "shop.v1.Inventory/*",
		"/shop.v1.Inventory/Cancel": "shop.v1.Inventory/*", "/shop.v1.Orders/Cancel": "*/Cancel", "/a/b/Cancel": "*/Cancel",
		"/shop.v1.Inventory": "posts", "/shop.v1.Inventory/": "posts", "/shop.v1.InventoryX/Get": "posts",
		"/x/shop.v1.Inventory/Get": "posts", "//Cancel": "posts", "/Cancel": "posts", "Cancel": "posts", "": "posts", "/": "posts",
		"shop.v1.Inventory/Reserve": "posts", "/*/Reserve": "posts",
	} {
		if got := route.PlanFor(&Request{Method: []byte("POST"), Path: []byte(path), GRPC: true}).Rule; got != want {
			t.Errorf("a call to %s is governed by rule %q, want %q", path, got, want)
		}
	}
	if got := route.Plan([]byte("POST"), []byte("/shop.v1.Inventory/Reserve")).Rule; got != "posts" {
		t.Errorf("a request that is no gRPC call is governed by rule %q", got)
	}
	for _, path := range []string{"", "a", "/", "a/", "/a"} {
		if _, err := compileMatch(&policy.RequestMatch{PathType: policy.PathGRPC, Path: path}); err == nil {
			t.Errorf("%q is accepted", path)
		}
	}
}

func TestRules(t *testing.T) {
	b := binding("k", policy.Target{Kind: policy.TargetAny})
	rule := func(name string, m ...policy.RequestMatch) policy.Rule {
		return policy.Rule{Name: name, Match: m, Settings: b.Base}
	}
	b.Rules = []policy.Rule{
		rule("exact", policy.RequestMatch{Methods: []string{"POST"}, PathType: policy.PathExact, Path: "/v1/charge"}),
		rule("prefix", policy.RequestMatch{PathType: policy.PathPrefix, Path: "/v1"}, policy.RequestMatch{PathType: policy.PathPrefix, Path: "/w/"}),
		rule("expr", policy.RequestMatch{PathType: policy.PathRegularExpression, Path: "/x[0-9]+"}),
		rule("method", policy.RequestMatch{Methods: []string{"PUT", "DELETE"}}),
	}
	s := newTable(t)
	install(t, s, snapshot(b))
	c := s.PodRoutes("a").Candidates(addr("192.0.2.1:80"))
	route, err := s.PodRoutes("a").Route(&c[0], nil, addr("192.0.2.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ method, target, want string }{
		{"POST", "/v1/charge?x=/y", "exact"},
		{"GET", "/v1/charge", "prefix"},
		{"GET", "/v1", "prefix"},
		{"GET", "/v1?q", "prefix"},
		{"GET", "/v1x", ""},
		{"GET", "/w", "prefix"},
		{"GET", "/w/x", "prefix"},
		{"GET", "/x12", "expr"},
		{"GET", "/x12/", ""},
		{"GET", "/a/x12", ""},
		{"PUT", "/", "method"},
		{"GET", "http://host/v1/a", "prefix"},
		{"GET", "http://host", ""},
		{"OPTIONS", "*", ""},
	} {
		if got := route.Plan([]byte(tc.method), PathOf([]byte(tc.target))).Rule; got != tc.want {
			t.Errorf("%s %s: rule %q, want %q", tc.method, tc.target, got, tc.want)
		}
	}
}
