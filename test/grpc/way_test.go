package grpc

import (
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/agent/nodetest"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// way is how the calls of a pod reach a server.
type way struct {
	name string
	// clientTLS and serverTLS say who speaks TLS.
	clientTLS, serverTLS bool
	captured             bool
	tls                  policy.TLSMode // of the agent
	// like is the way that the outcomes are compared with, or empty.
	like string
}

// The ways.
var (
	direct      = way{name: "direct"}
	governed    = way{name: "governed", captured: true, like: "direct"}
	originated  = way{name: "originated", serverTLS: true, captured: true, tls: policy.TLSOriginate, like: "direct"}
	directTLS   = way{name: "direct-tls", clientTLS: true, serverTLS: true}
	intercepted = way{name: "intercepted", clientTLS: true, serverTLS: true, captured: true, tls: policy.TLSIntercept, like: "direct-tls"}
)

// What servers are called, by what they speak: where the agent ends the pod's TLS, policies say that.
const (
	http1Name = "http1.test"
	http2Name = "http2.test"
)

// settings is a policy that acts on everything it can without changing how a call that goes well ends.
func settings() policy.Settings {
	s := policy.Defaults()
	s.Timeouts.PerTry, s.Timeouts.Overall = time.Minute, time.Minute
	s.Retry.On = policy.Of(policy.ConnectFailure, policy.RefusedStream, policy.ResetBeforeRequest)
	s.Retry.GRPCStatuses = []policy.GRPCStatus{16} // none that the suites end calls with, but heads are kept back for it
	s.Retry.Idempotency = policy.AnyMethod
	b := policy.DefaultBreaker()
	b.ConsecutiveFailures = 1_000_000
	s.Breaker = &b
	return s
}

var pod = pods.Ref{UID: "pod-1", Namespace: "ns", Name: "pod"}

// snapshot is the policy of a way, for everything that the pod calls.
func (w way) snapshot(t testing.TB, servers, egress *tlstest.Authority) *policy.Snapshot {
	id := policy.ID{Namespace: pod.Namespace, Name: "p"}
	bindings := []policy.Binding{{Key: "any", Policy: id, To: policy.Target{Kind: policy.TargetAny}, Base: settings()}}
	for host, protocol := range map[string]policy.Protocol{http1Name: policy.ProtocolHTTP, http2Name: policy.ProtocolHTTP2} {
		named := policy.Binding{Key: host, Policy: id, Base: settings(), To: policy.Target{
			Kind: policy.TargetHost, Host: host, TLS: policy.TLS{Mode: w.tls, Roots: "servers"},
		}}
		switch w.tls {
		case policy.TLSPassthrough:
			continue
		case policy.TLSIntercept:
			named.To.TLS.Issuer, named.To.Protocol = policy.IssuerName, protocol
		case policy.TLSOriginate:
		}
		bindings = append([]policy.Binding{named}, bindings...)
	}
	issuer := egress.Issuer(nil)
	return &policy.Snapshot{
		Workloads: map[string]*policy.Workload{pod.UID: {UID: pod.UID, Namespace: pod.Namespace, Name: pod.Name, Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: bindings}},
		Roots:     map[string]*policy.Roots{"servers": {Name: "servers", Certificates: [][]byte{servers.Root().Raw}}},
		KeyPairs: map[string]*policy.KeyPair{policy.IssuerName: {
			Name: policy.IssuerName, Chain: issuer.Certificate, Key: tlstest.Key(t, issuer),
		}},
	}
}

// capture has an agent capture the pod's calls.
func (w *world) capture() {
	a := nodetest.Start(w.t, nodetest.Options{Host: w.host, Pod: pod, NetNS: w.pod.Path, Observer: &w.seen, Passed: w.passed, Grace: time.Second})
	w.t.Cleanup(a.Stop)
	a.Install(w.t, w.way.snapshot(w.t, w.servers, w.egress))
}

// passed hears of connections that are not governed. Clients that connect in advance close connections that they have not used.
func (w *world) passed(why proxy.Passed) {
	if why == proxy.PassedTLS || why == proxy.PassedDistrust || why == proxy.PassedNoIssuer {
		w.t.Errorf("a connection was passed through: %s", why)
	}
}

// seen counts the calls that were governed.
type seen struct {
	routes.Discard
	grpc, others atomic.Int64
}

// Recorder implements routes.Observer.
func (s *seen) Recorder(policy.ID, string) routes.Recorder { return s }

// ForCaller implements routes.Recorder.
func (s *seen) ForCaller(policy.Caller) routes.Recorder { return s }

// ForRoute implements routes.Recorder.
func (s *seen) ForRoute(policy.Caller, string, bool) routes.Recorder { return s }

// CallDone implements routes.Recorder.
func (s *seen) CallDone(e *routes.Exchange) {
	if e.GRPC {
		s.grpc.Add(1)
	} else {
		s.others.Add(1)
	}
}
