package route

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/policy"
)

// noDialer dials nothing.
type noDialer struct{}

func (noDialer) Dial(context.Context, netip.AddrPort) (transport.Socket, error) {
	return nil, net.ErrClosed
}

// request is a View.
type request struct{ method, host, target string }

func (r request) Method() []byte               { return []byte(r.method) }
func (r request) Host() []byte                 { return []byte(r.host) }
func (r request) Target() []byte               { return []byte(r.target) }
func (r request) Header(string) ([]byte, bool) { return nil, false }

func (r request) AnyHeader(string, interface{ Fits(text []byte) bool }) bool { return false }

const pod = "pod-1"

var original = netip.MustParseAddrPort("192.0.2.1:80")

// binding is a binding for a target of which the policy says p.
func binding(key string, to policy.Target, p policy.Protocol) policy.Binding {
	to.Protocol = p
	return policy.Binding{Key: key, Policy: policy.ID{Namespace: "ns", Name: key}, To: to, Base: policy.Defaults()}
}

func anyTarget() policy.Target { return policy.Target{Kind: policy.TargetAny} }

func host(name string) policy.Target { return policy.Target{Kind: policy.TargetHost, Host: name} }

func table(t *testing.T, bindings ...policy.Binding) *routes.Table {
	t.Helper()
	all, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return noDialer{} }, Observer: routes.Discard{}})
	if err != nil {
		t.Fatal(err)
	}
	install(t, all, bindings...)
	return all
}

func install(t *testing.T, all *routes.Table, bindings ...policy.Binding) {
	t.Helper()
	if r := all.Install(&policy.Snapshot{
		Workloads: map[string]*policy.Workload{pod: {UID: pod, Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: bindings}},
	}); len(r) > 0 {
		t.Fatalf("rejected: %v", r)
	}
}

func TestWhatIsDeclaredOfAConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		bindings []policy.Binding
		want     Declared
		whole    bool
	}{
		"nothing governs it":         {nil, Ungoverned, false},
		"HTTP":                       {[]policy.Binding{binding("a", anyTarget(), policy.ProtocolHTTP)}, HTTP1, true},
		"HTTP/2":                     {[]policy.Binding{binding("a", anyTarget(), policy.ProtocolHTTP2)}, HTTP2, true},
		"gRPC":                       {[]policy.Binding{binding("a", anyTarget(), policy.ProtocolGRPC)}, HTTP2, true},
		"TCP":                        {[]policy.Binding{binding("a", anyTarget(), policy.ProtocolTCP)}, Opaque, true},
		"to be found out":            {[]policy.Binding{binding("a", anyTarget(), policy.ProtocolAuto)}, Nothing, true},
		"by the host, which decides": {[]policy.Binding{binding("a", host("a.example"), policy.ProtocolHTTP)}, HTTP1, false},
		"they differ": {
			[]policy.Binding{binding("a", host("a.example"), policy.ProtocolHTTP), binding("b", anyTarget(), policy.ProtocolTCP)}, Nothing, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s Selector
			s.Init(&Origin{table(t, tc.bindings...), pod, original})
			if got := s.Declared(); got != tc.want {
				t.Errorf("declared is %v, want %v", got, tc.want)
			}
			r, pinned, whole := s.Whole()
			if whole != tc.whole || whole && (r == nil || !pinned) || (s.Settings() != nil) != tc.whole {
				t.Errorf("governed as a whole: %v, by %v, pinned %v", whole, r, pinned)
			}
		})
	}
}

// Requests find their routes by their hosts, and keep them as long as nothing changes.
func TestRequestsFindTheirRoutes(t *testing.T) {
	all := table(t, binding("a", host("a.example"), policy.ProtocolHTTP), binding("b", host("*.b.example"), policy.ProtocolHTTP))
	var s Selector
	s.Init(&Origin{all, pod, original})
	if s.Governed() {
		t.Error("governed before a request is known")
	}
	for _, tc := range []struct{ host, want string }{
		{"a.example", "a"}, {"A.Example:80", "a"}, {"x.b.example", "b"}, {"b.example", ""}, {"", ""}, {"a.example", "a"},
	} {
		r, ok := s.Select(request{host: tc.host})
		if got := key(r); ok != (tc.want != "") || got != tc.want {
			t.Errorf("%q finds %q, want %q", tc.host, got, tc.want)
		}
		if again, _ := s.Select(request{host: tc.host}); again != r || ok && s.Selected() != r {
			t.Errorf("%q finds another route the second time", tc.host)
		}
		if s.Governs([]byte(tc.host)) != ok {
			t.Errorf("%q is governed: %v", tc.host, !ok)
		}
	}
	if !s.Governed() {
		t.Error("not governed after a request that is")
	}
	install(t, all, binding("b", host("*.b.example"), policy.ProtocolHTTP))
	if _, ok := s.Select(request{host: "a.example"}); ok {
		t.Error("a route outlives its policy")
	}
}

func key(r *routes.Route) string {
	if r == nil {
		return ""
	}
	return r.Key()
}
