package samples

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/agent/proxy"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long what must happen may take on a busy machine.
const patience = time.Minute

const pod = "pod-1"

// clusterIP is the address of every Service.
var clusterIP = netip.MustParseAddr("10.96.0.10")

// world is a pod whose calls come under a sample.
type world struct {
	t       *testing.T
	profile *policy.Profile
	called  netip.AddrPort // what the pod calls
	server  netip.AddrPort // what serves it, whatever address is connected to
	at      net.Addr       // where the pod's connections are captured
	dials   atomic.Int64
	refuse  atomic.Int64 // so many of the next dials are refused
}

// start has a sample enforced for calls to an address, which a server serves that is verified with root, if it speaks TLS.
func start(t *testing.T, sample string, called, server netip.AddrPort, root *x509.Certificate) *world {
	t.Helper()
	w := &world{t: t, called: called, server: server}
	snapshot := w.compile(sample, root)
	table, err := routes.New(routes.Options{Dialer: func(string) upstream.Dialer { return w }})
	if err != nil {
		t.Fatal(err)
	}
	if refused := table.Install(snapshot); len(refused) > 0 {
		t.Fatalf("the agent refuses it: %v", refused)
	}
	p, err := proxy.New(proxy.Options{Store: table, Events: events{t}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.NewListener(made.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	w.at = made.Addr()
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { _ = table.Run(ctx) })
	runs.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			runs.Go(func() { p.ServeCaptured(pod, c, called) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		ending, end := context.WithTimeout(context.Background(), patience)
		defer end()
		if err := p.Shutdown(ending); err != nil {
			t.Error(err)
		}
		cancel()
		runs.Wait()
	})
	return w
}

// compile makes of a sample what an agent is sent for it.
func (w *world) compile(sample string, root *x509.Certificate) *policy.Snapshot {
	w.t.Helper()
	text, err := os.ReadFile("../../config/samples/" + sample)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &v1alpha1.RetryPolicy{}
	if err := yaml.UnmarshalStrict(text, p); err != nil {
		w.t.Fatal(err)
	}
	p.Namespace = "shop"
	for i := range p.Spec.To {
		if tls := p.Spec.To[i].TLS; tls != nil { // the server is no public one
			tls.CABundleRef = &v1alpha1.CABundleReference{Name: "root"}
		}
	}
	src := compile.FromRetryPolicy(p)
	find := func(compile.Reference) compile.Referent {
		r := compile.NewReferent(map[string][]byte{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})})
		r.Now = time.Now()
		return r
	}
	service := &compile.Service{Ports: []compile.ServicePort{{Name: "grpc", Port: w.called.Port()}, {Name: "http", Port: 80}}}
	read, problems := compile.Read(src, func(string) (*compile.Service, bool) { return service, true }, find)
	if len(problems) > 0 {
		w.t.Fatal(problems)
	}
	w.profile = compile.Compile("p", []*compile.Policy{read})
	return w.snapshot(&src, find)
}

func (w *world) snapshot(src *compile.Source, find compile.FindReference) *policy.Snapshot {
	s := &policy.Snapshot{
		Workloads:    map[string]*policy.Workload{pod: {UID: pod, Namespace: "shop", Name: "pod", Profile: "p"}},
		Profiles:     map[string]*policy.Profile{"p": w.profile},
		Destinations: map[string]*policy.Destination{},
		Roots:        map[string]*policy.Roots{},
	}
	for _, name := range w.profile.Services() {
		s.Destinations[name] = &policy.Destination{Name: name, ClusterIPs: []netip.Addr{clusterIP}, Ports: []policy.DestinationPort{
			{Port: w.called.Port(), Endpoints: policy.Ready(w.server)},
		}}
	}
	for _, m := range compile.MaterialsOf(src, find) {
		s.Roots[m.Name] = m.Roots
	}
	return s
}

// base and rule are the settings that calls come under.
func (w *world) base() *policy.Settings { return &w.profile.Bindings[0].Base }

func (w *world) rule(name string) *policy.Settings {
	w.t.Helper()
	for i := range w.profile.Bindings[0].Rules {
		if r := &w.profile.Bindings[0].Rules[i]; r.Name == name {
			return &r.Settings
		}
	}
	w.t.Fatalf("there is no rule %s", name)
	return nil
}

// Dial implements upstream.Dialer: whatever is connected to, it is the server.
func (w *world) Dial(ctx context.Context, _ netip.AddrPort) (transport.Socket, error) {
	w.dials.Add(1)
	if w.refuse.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", w.server.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// client is a client of the pod's.
func (w *world) client(protocols func(*http.Protocols)) *http.Client {
	var p http.Protocols
	protocols(&p)
	t := &http.Transport{Protocols: &p, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", w.at.String())
	}}
	w.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: patience}
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }

func http2(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }

// events fails the test for what must not happen.
type events struct{ t *testing.T }

// Opened implements proxy.Events.
func (events) Opened() {}

// Closed implements proxy.Events.
func (events) Closed() {}

// Passed implements proxy.Events.
func (events) Passed(proxy.Passed) {}

// Malformed implements proxy.Events.
func (e events) Malformed(r drive.Refused) { e.t.Errorf("a request was refused: %v", r) }

// Flooded implements proxy.Events.
func (e events) Flooded(_ drive.Side, f drive.Flood) { e.t.Errorf("a flood: %v", f) }

// Panicked implements proxy.Events.
func (e events) Panicked(_ string, what any, stack []byte) { e.t.Errorf("%v\n%s", what, stack) }
