package compile

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// dry reads a policy as a dry run.
func (g given) dry(t testing.TB) *Policy {
	t.Helper()
	p := g.read(t)
	p.Mode = v1alpha1.ModeDryRun
	return p
}

func TestDryRunsComeBesideWhatIsEnforced(t *testing.T) {
	enforced := given{id: "shop/a", level: LevelNamespace, to: []v1alpha1.Destination{host("a.example", 80), host("b.example", 80)}, body: retries(3)}
	dry := given{id: "shop/dry", level: LevelPods, to: []v1alpha1.Destination{host("a.example", 80), host("c.example", 80)}, body: perTry("1s")}
	p := Compile("p", []*Policy{enforced.read(t), dry.dry(t)})
	type line struct {
		host      string
		mode      policy.Mode
		unchanged bool
		retries   int
		perTry    string
		policy    string
	}
	var got []line
	for i := range p.Bindings {
		b := &p.Bindings[i]
		got = append(got, line{b.To.Host, b.Mode, b.Unchanged, b.Base.Retry.MaxRetries, b.Base.Timeouts.PerTry.String(), b.Policy.Name})
	}
	want := []line{
		{"a.example", policy.ModeEnforce, false, 3, "0s", "a"},
		{"b.example", policy.ModeEnforce, false, 3, "0s", "a"},
		{"a.example", policy.ModeDryRun, false, 3, "1s", "dry"},
		{"b.example", policy.ModeDryRun, true, 0, "0s", "a"},
		{"c.example", policy.ModeDryRun, false, policy.Defaults().Retry.MaxRetries, "1s", "dry"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{})); diff != "" {
		t.Error(diff)
	}
}

// Nothing of a dry run reaches what is enforced, nor what agents hold of secrets.
func TestDryRunsDoNothing(t *testing.T) {
	body := retries(1)
	body.FailurePolicy, body.UDP443 = v1alpha1.FailurePolicyClosed, v1alpha1.UDP443Reject
	to := host("a.example", 443)
	to.Protocol, to.TLS = v1alpha1.ProtocolHTTP, &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSIntercept}
	p := Compile("p", []*Policy{given{id: "shop/dry", level: LevelPods, to: []v1alpha1.Destination{to}, body: body}.dry(t)})
	if len(p.Bindings) != 1 || p.FailClosed {
		t.Fatalf("%+v", p)
	}
	if b := p.Bindings[0]; b.Mode != policy.ModeDryRun || b.RejectQUIC || b.To.TLS != (policy.TLS{}) || b.To.Via != (policy.Via{}) {
		t.Errorf("%+v", b)
	}
}

// Of any policies, what is enforced is what it is without the dry runs, and what would be is what it is if they all are enforced.
func TestDryRunsAreWhatWouldBe(t *testing.T) {
	compare := cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 7))
		var all, acting, as []*Policy
		dry := map[policy.ID]bool{}
		for i := range 1 + random.IntN(5) {
			g := given{
				id: fmt.Sprintf("shop/p%d", i), level: []Level{LevelNamespace, LevelPods}[random.IntN(2)], created: random.IntN(9),
				to:   []v1alpha1.Destination{host(fmt.Sprintf("h%d.example", random.IntN(2)), 80), cidr("10.0.0.0/8"), host("*.example", 80, 443)}[random.IntN(3):],
				body: retries(int32(random.IntN(5))),
			}
			as = append(as, g.read(t))
			if random.IntN(2) == 0 {
				all = append(all, g.dry(t))
				dry[policy.ParseID(g.id)] = true
				continue
			}
			all, acting = append(all, g.read(t)), append(acting, g.read(t))
		}
		got, without, would := Compile("p", all), Compile("p", acting), Compile("p", as)
		n := len(without.Bindings)
		if diff := cmp.Diff(without.Bindings, got.Bindings[:n], compare, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if len(dry) == 0 {
			continue
		}
		if len(got.Bindings[n:]) != len(would.Bindings) {
			t.Fatalf("seed %d: %d bindings would be, want %d", seed, len(got.Bindings[n:]), len(would.Bindings))
		}
		for i, b := range got.Bindings[n:] {
			w, part := would.Bindings[i], false
			for _, id := range b.Merged {
				part = part || dry[id]
			}
			if b.Unchanged == part || b.Key != w.Key || part && !cmp.Equal(b.Base, w.Base) || part && !dry[b.Policy] {
				t.Errorf("seed %d: %+v, want %+v", seed, b, w)
			}
		}
	}
}

func TestWhatADryRunCannotKnow(t *testing.T) {
	d, n := v1alpha1.Duration("1s"), int32(1)
	src := Source{
		Mode: v1alpha1.ModeDryRun, Level: LevelPods,
		To: []v1alpha1.Destination{
			{Host: "a.example", Ports: []int32{80}, Protocol: v1alpha1.ProtocolHTTP, TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate}},
			{Host: "b.example", Ports: []int32{80}},
		},
		Body: &v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{
			Timeouts:       &v1alpha1.Timeouts{Connect: d, PerTry: d},
			CircuitBreaker: &v1alpha1.CircuitBreaker{ConsecutiveFailures: &n, Scope: v1alpha1.BreakerScopeEndpoint, MaxEjectedPercent: &n},
		}, ConnectionPool: &v1alpha1.ConnectionPool{MaxConnections: &n}},
	}
	want := []UnenforcedField{
		{"to[0].tls.mode", v1alpha1.ReasonNotInDryRun, 0},
		{"timeouts.connect", v1alpha1.ReasonNotInDryRun, -1},
		{"circuitBreaker.scope", v1alpha1.ReasonNotInDryRun, -1},
		{"circuitBreaker.maxEjectedPercent", v1alpha1.ReasonNotInDryRun, -1},
		{"connectionPool", v1alpha1.ReasonNotInDryRun, -1},
	}
	if diff := cmp.Diff(want, UnenforcedFields(&src)); diff != "" {
		t.Error(diff)
	}
}
