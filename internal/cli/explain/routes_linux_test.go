package explain

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/policy"
)

// noDialer dials nothing.
type noDialer struct{}

func (noDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	return nil, net.ErrClosed
}

// view is a call as an agent's routing looks at a request.
type view struct{ *Call }

func (v view) Method() []byte { return []byte(v.Call.Method) }
func (v view) Host() []byte {
	return []byte(fmt.Sprintf("%s:%d", cmp.Or(v.Call.Named, v.Call.Host), v.Call.Port))
}
func (v view) Target() []byte { return []byte(v.Call.Path + "?q=1") }
func (v view) Header(name string) ([]byte, bool) {
	if name == "content-type" && v.Call.GRPC {
		return []byte("application/grpc"), true
	}
	return nil, false
}

func (v view) AnyHeader(name string, value interface{ Fits([]byte) bool }) bool {
	for _, h := range v.Call.Headers {
		if h[0] == name && value.Fits([]byte(h[1])) {
			return true
		}
	}
	return false
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

var (
	stock = &policy.Destination{Name: "shop/stock", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1")}, Ports: []policy.DestinationPort{
		{Port: 80, Endpoints: policy.Ready(netip.MustParseAddrPort("10.1.0.1:8080"))},
		{Port: 9000, Endpoints: policy.Ready(netip.MustParseAddrPort("10.1.0.1:9000"))},
	}}
	addresses = []string{"10.96.0.1", "10.1.0.1", "10.1.0.9", "192.0.2.7"}
)

func randomTarget(r *rand.Rand) policy.Target {
	t := policy.Target{Protocol: pick(r, policy.ProtocolAuto, policy.ProtocolAuto, policy.ProtocolHTTP, policy.ProtocolHTTP2, policy.ProtocolGRPC, policy.ProtocolTCP)}
	switch r.IntN(4) {
	case 0:
		t.Kind, t.Service, t.Ports = policy.TargetService, stock.Name, pick(r, nil, []uint16{80}, []uint16{9000})
	case 1:
		t.Kind, t.Host, t.Ports = policy.TargetHost, pick(r, "a.example", "*.example", "*", "*.b.example", "stock.shop"), pick(r, []uint16{80, 443}, []uint16{9000, 8080})
	case 2:
		t.Kind, t.Block, t.Ports = policy.TargetCIDR, netip.MustParsePrefix(pick(r, "10.0.0.0/8", "10.1.0.0/24", "0.0.0.0/0")), pick(r, nil, []uint16{80})
		if r.IntN(3) == 0 {
			t.Except = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/30")}
		}
	case 3:
		t.Kind, t.Ports = policy.TargetAny, pick(r, nil, []uint16{80, 9000})
	}
	return t
}

func randomRule(r *rand.Rand, name string) policy.Rule {
	rule := policy.Rule{Name: name, Settings: policy.Defaults()}
	for range 1 + r.IntN(2) {
		m := policy.RequestMatch{Methods: pick(r, nil, nil, []string{"GET"}, []string{"POST", "PUT"}), Host: pick(r, "", "", "a.example", "*.example")}
		m.PathType = pick(r, policy.PathAny, policy.PathExact, policy.PathPrefix, policy.PathRegularExpression, policy.PathGRPC)
		switch m.PathType {
		case policy.PathGRPC:
			m.Path = pick(r, "s.v1.S/Get", "*/Get", "s.v1.S/*")
		case policy.PathRegularExpression:
			m.Path = pick(r, "/v[0-9]+", "/.*", "/s.v1.S/(Get|Put)")
		case policy.PathExact, policy.PathPrefix:
			m.Path = pick(r, "/", "/v1", "/v1/", "/v1/x", "/s.v1.S")
		case policy.PathAny:
		}
		if r.IntN(3) == 0 {
			m.Headers = []policy.RequestHeader{{Name: "x-tier", Type: pick(r, policy.ValueAny, policy.ValueExact, policy.ValuePrefix, policy.ValueRegularExpression), Value: "gold"}}
		}
		rule.Match = append(rule.Match, m)
	}
	return rule
}

func randomCall(r *rand.Rand) *Call {
	c := &Call{
		Method: pick(r, "GET", "POST", "PUT"), Host: pick(r, "a.example", "x.b.example", "b.example", "stock.shop", "example", "10.96.0.1"),
		Port: pick(r, uint16(80), 9000, 8080, 443), Address: netip.MustParseAddr(pick(r, addresses...)), HTTP2: r.IntN(2) == 0,
		Path: pick(r, "/", "/v1", "/v1/x", "/v1x", "/v22", "/s.v1.S/Get", "/s.v1.S/Put"),
	}
	if c.GRPC = r.IntN(3) == 0; c.GRPC {
		c.HTTP2, c.Method = true, "POST"
	}
	if r.IntN(4) == 0 {
		c.name(pick(r, "a.example", "X.b.example:8080", "stock.shop."))
	}
	for range r.IntN(3) {
		c.Headers = append(c.Headers, [2]string{pick(r, "x-tier", "x-other"), pick(r, "gold", "golden", "silver", "")})
	}
	return c
}

// TestExplanationsAreWhatAgentsDo: for random policies and calls, explain finds the policy and the rule that an agent's own routing finds.
func TestExplanationsAreWhatAgentsDo(t *testing.T) {
	governed, ruled := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		profile := &policy.Profile{Name: "p"}
		for i := range 1 + r.IntN(5) {
			b := policy.Binding{Key: fmt.Sprint("b", i), Policy: policy.ID{Namespace: "shop", Name: fmt.Sprint("b", i)}, To: randomTarget(r), Base: policy.Defaults()}
			b.Merged = []policy.ID{b.Policy}
			for j := range r.IntN(3) {
				b.Rules = append(b.Rules, randomRule(r, fmt.Sprint("r", j)))
			}
			profile.Bindings = append(profile.Bindings, b)
		}
		table, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return noDialer{} }})
		if err != nil {
			t.Fatal(err)
		}
		rejected := table.Install(&policy.Snapshot{
			Workloads: map[string]*policy.Workload{"pod": {UID: "pod", Profile: "p"}}, Profiles: map[string]*policy.Profile{"p": profile},
			Destinations: map[string]*policy.Destination{stock.Name: stock},
		})
		if len(rejected) > 0 {
			t.Fatalf("seed %d: %v", seed, rejected)
		}
		find := func(name string) *policy.Destination {
			if name == stock.Name {
				return stock
			}
			return nil
		}
		for range 40 {
			c := randomCall(r)
			if c.Address == stock.ClusterIPs[0] {
				c.Service = stock.Name
			}
			want := routed(table, c)
			e := Explain(&effective.InForce{Profile: profile}, c, find)
			got := ""
			if e.Governed && !e.Connection {
				got = e.binding.Key + " " + e.Rule
			}
			if got != want {
				t.Fatalf("seed %d: %+v is governed by %q, and explained as %q: %s", seed, c, want, got, e.Why)
			}
			if want != "" {
				governed++
			}
			if !strings.HasSuffix(want, " ") && want != "" {
				ruled++
			}
		}
	}
	if governed < 1000 || ruled < 300 {
		t.Errorf("only %d calls were governed, %d by a rule: what is made at random says little", governed, ruled)
	}
}

// routed returns the binding and the rule that an agent finds for a call, "" for none.
func routed(table *routes.Table, c *Call) string {
	var s route.Selector
	s.Init(&route.Origin{Table: table, Pod: "pod", Original: netip.AddrPortFrom(c.Address, c.Port)})
	if c.HTTP2 {
		s.SpeakHTTP2()
	}
	found, ok := s.Select(view{c})
	if !ok {
		return ""
	}
	return found.Key() + " " + route.PlanFor(found, view{c}).Rule
}
