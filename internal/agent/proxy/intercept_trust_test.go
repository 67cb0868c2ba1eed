package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// Pods that do not trust the egress CA are counted, and, where the policy says so, passed through after some handshakes that they have ended.
//
//enforces:intercept to[].tls.passthroughAfter
func TestPodsThatDoNotTrustPassAfterAWhile(t *testing.T) {
	as := authorities(t)
	for name, tc := range map[string]struct {
		after  int
		refuse func(w *testProxy)
	}{
		"by an alert": {2, func(w *testProxy) {
			if _, _, err := fetch(w.https(as.hosts, nil), "/"); err == nil {
				t.Error("a pod that does not trust the egress CA is served")
			}
		}},
		"by closing after the handshake": {2, func(w *testProxy) { _ = w.secure(as.egress, nil).Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			server := serveHTTPS(t, apiConfig(as.hosts), sayTLS)
			w := intercepting(t, as, server, toIntercept(func(b *policy.Binding) { b.To.TLS.PassAfter = tc.after }))
			for i := range tc.after {
				tc.refuse(w)
				w.handshakes(routes.HandshakeDistrusted, int64(i+1))
				d := w.store.Distrusts(time.Now())
				if len(d) != 1 || d[0].Pod != pod || d[0].Host != apiHost || d[0].Ended != i+1 || d[0].Spared != (i+1 == tc.after) {
					t.Errorf("after %d it is said that %+v", i+1, d)
				}
			}
			if res, _ := mustFetch(t, w.https(as.hosts, nil), "/"); interceptedBy(res) {
				t.Error("the certificate is the agent's")
			}
			if n := w.events.passed[PassedDistrust].Load(); n != 1 {
				t.Errorf("%d connections passed", n)
			}
			w.handshakes(routes.HandshakeSpared, 1)
		})
	}
}

// Without that they go on to fail; and a handshake in between that is accepted begins the count anew.
func TestDistrustIsCountedInARow(t *testing.T) {
	as := authorities(t)
	server := serveHTTPS(t, apiConfig(as.hosts), sayTLS)
	for name, after := range map[string]int{"never": 0, "after two": 2} {
		t.Run(name, func(t *testing.T) {
			w := intercepting(t, as, server, toIntercept(func(b *policy.Binding) { b.To.TLS.PassAfter = after }))
			for i := range int64(3) {
				if _, _, err := fetch(w.https(as.hosts, nil), "/"); err == nil {
					t.Error("a pod that does not trust the egress CA is served")
				}
				w.handshakes(routes.HandshakeDistrusted, i+1)
				if res, _ := mustFetch(t, w.https(as.egress, nil), "/"); after > 0 && !interceptedBy(res) {
					t.Error("a pod that trusts is passed through")
				}
			}
			if d := w.store.Distrusts(time.Now()); len(d) != 1 || d[0].Ended != 3 || d[0].Spared {
				t.Errorf("it is said that %+v", d)
			}
			if d := w.store.Distrusts(time.Now().Add(time.Hour)); len(d) != 0 {
				t.Errorf("an hour later it is said that %+v", d)
			}
		})
	}
}

// A client that connects in advance and closes after a while has shown nothing.
func TestConnectionsThatAreNotUsedAreNoDistrust(t *testing.T) {
	as := authorities(t)
	w := interceptingWith(t, Options{closedAtOnce: 1}, as, serveHTTPS(t, apiConfig(as.hosts), sayTLS), toIntercept(nil))
	c := w.secure(as.egress, nil)
	poll(t, func() bool { return w.server.Open().Idle == 1 })
	_ = c.Close()
	w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	w.handshakes(routes.HandshakeDistrusted, 0)
}

// Clients of HTTP/2 open several connections at once, keep the first that is ready and close the others: those are no distrust, whichever comes first.
func TestConnectionsBesideOneThatIsUsedAreNoDistrust(t *testing.T) {
	as := authorities(t)
	server := serveHTTPS(t, apiConfig(as.hosts), sayTLS)
	for name, usedFirst := range map[string]bool{"used before": true, "used behind": false} {
		t.Run(name, func(t *testing.T) {
			w := intercepting(t, as, server, toIntercept(func(b *policy.Binding) { b.To.TLS.PassAfter = 3 }))
			used := w.secure(as.egress, nil)
			ask := func() {
				t.Helper()
				_, _ = used.Write([]byte("GET / HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n"))
				if res, err := http.ReadResponse(bufio.NewReader(used), nil); err != nil || res.StatusCode != 200 {
					t.Fatal(res, err)
				}
			}
			if usedFirst {
				ask()
			}
			var others []*tls.Conn
			for range 4 {
				others = append(others, w.secure(as.egress, nil))
			}
			for _, c := range others {
				_ = c.Close()
			}
			w.waitFor(t, func() bool { return w.server.Connections() == 1 })
			if !usedFirst {
				ask()
			}
			if d := w.store.Distrusts(time.Now()); len(d) > 0 {
				t.Errorf("it is said that %+v", d)
			}
			if res, _ := mustFetch(t, w.https(as.egress, nil), "/"); !interceptedBy(res) {
				t.Error("a pod that trusts is passed through")
			}
		})
	}
}

// Without an issuer, or one for the name, pods are as if nobody were there, and it is known.
func TestPodsPassWithoutAnIssuer(t *testing.T) {
	as := authorities(t)
	server := serveHTTPS(t, apiConfig(as.hosts), sayTLS)
	w := build(t, server)
	w.trust(as.hosts)
	w.install(toIntercept(nil))
	if u := w.store.Unissued(time.Now()); len(u) != 0 {
		t.Errorf("at once it is said that %v", u)
	}
	if u := w.store.Unissued(time.Now().Add(time.Minute)); len(u[pod]) != 1 || u[pod][0].String() != "ns/p" {
		t.Errorf("it is said that %v", u)
	}
	mustFetch(t, w.https(as.hosts, nil), "/")
	w.issue(as.egress, "other.example")
	w.install(toIntercept(nil))
	mustFetch(t, w.https(as.hosts, nil), "/")
	if n := w.events.passed[PassedNoIssuer].Load(); n != 2 {
		t.Errorf("%d connections passed", n)
	}
	w.handshakes(routes.HandshakeWithoutIssuer, 2)
	w.issue(as.egress, apiHost)
	w.install(toIntercept(nil))
	if res, _ := mustFetch(t, w.https(as.egress, nil), "/"); !interceptedBy(res) {
		t.Error("it is not intercepted")
	}
	if u := w.store.Unissued(time.Now().Add(time.Minute)); len(u) != 0 {
		t.Errorf("it is said that %v", u)
	}
	if u := w.store.Unissued(time.Now().Add(48 * time.Hour)); len(u) != 1 {
		t.Error("an issuer that has ended is not missed")
	}
}

// Who is passed on decides with the host itself what is spoken: the agent does not ask that host.
func TestAHostIsNotAskedForThosePassedOn(t *testing.T) {
	as := authorities(t)
	for name, issue := range map[string]func(*testProxy){
		"no issuer":                   func(*testProxy) {},
		"an issuer of another's name": func(w *testProxy) { w.issue(as.egress, "other.example") },
	} {
		t.Run(name, func(t *testing.T) {
			w := build(t, serveHost(t, apiConfig(as.hosts)).addr)
			w.trust(as.hosts)
			issue(w)
			w.install(toIntercept(undecided))
			c := w.secure(as.hosts, func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} })
			if got := c.ConnectionState().NegotiatedProtocol; got != "h2" {
				t.Errorf("agreed on %q", got)
			}
			w.handshakes(routes.HandshakeWithoutIssuer, 1)
			if n := w.dialer.dials.Load(); n != 1 {
				t.Errorf("%d connections were made for one that is passed on", n)
			}
		})
	}
}

// An issuer is replaced under load, by one of another egress CA too where pods trust both, and no call fails for it; new connections are shown what
// the new one has made.
func TestRule33_AnIssuerIsReplacedUnderLoad(t *testing.T) {
	as := authorities(t)
	server := serveHTTPS(t, apiConfig(as.hosts), sayTLS)
	w := intercepting(t, as, server, toIntercept(nil))
	w.seen.discards.Store(true)
	next := tlstest.New(t)
	trustsBoth := func(c *tls.Config) { c.RootCAs.AddCert(next.Root()) }
	stop := underLoad(t, 4, func(i int) (call func() error) {
		c := w.https(as.egress, func(c *tls.Config) {
			trustsBoth(c)
			c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		})
		c.Transport.(*http.Transport).DisableKeepAlives = i%2 == 0
		return func() error {
			if res, body, err := fetch(c, "/"); err != nil || res.StatusCode != 200 {
				return fmt.Errorf("%w: %q", err, body)
			}
			return nil
		}
	})
	seen := map[string]bool{}
	for i := range 5 {
		w.issue([]*tlstest.Authority{next, as.egress}[i%2])
		w.install(toIntercept(nil))
		res, _ := mustFetch(t, w.https(as.egress, trustsBoth), "/")
		seen[string(res.TLS.PeerCertificates[1].Raw)] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d issuers were seen", len(seen))
	}
	stop()
}

// An issuer that cannot be used leaves what was in force.
func TestRule35_ABadIssuerIsRefused(t *testing.T) {
	as := authorities(t)
	w := intercepting(t, as, serveHTTPS(t, apiConfig(as.hosts), sayTLS), toIntercept(nil))
	leaf := as.egress.Issue(nil, apiHost)
	for name, pair := range map[string]*policy.KeyPair{
		"a server's certificate": {Name: policy.IssuerName, Chain: leaf.Certificate, Key: tlstest.Key(t, leaf)},
		"another key":            {Name: policy.IssuerName, Chain: as.egress.Issuer(nil).Certificate, Key: tlstest.Key(t, leaf)},
		"nothing":                {Name: policy.IssuerName},
	} {
		rejected := w.store.Install(&policy.Snapshot{
			Workloads: map[string]*policy.Workload{pod: {UID: pod, Profile: "p"}},
			Profiles: map[string]*policy.Profile{
				"p": {Name: "p", Bindings: []policy.Binding{toIntercept(nil)}}, "q": {Name: "q", Bindings: []policy.Binding{toTLS(nil)}},
			},
			KeyPairs: map[string]*policy.KeyPair{policy.IssuerName: pair},
		})
		if len(rejected) != 1 || rejected[0].Profile != "p" || rejected[0].Message == "" {
			t.Errorf("%s: %+v", name, rejected)
		}
	}
	if res, _ := mustFetch(t, w.https(as.egress, nil), "/"); !interceptedBy(res) {
		t.Error("it is not intercepted any more")
	}
}

// When a policy stops to intercept, or goes, connections whose TLS has ended here are not continued in the clear: calls go on as they did, and
// the client is asked to end the connection.
func TestRule34_OpenConnectionsGoOnEncrypted(t *testing.T) {
	as := authorities(t)
	var plain atomic.Int64
	server := serve(t, func(_ int, p *peer) {
		first, err := p.r.Peek(1)
		if err != nil {
			return
		}
		if first[0] != 22 {
			plain.Add(1)
			return
		}
		s := tls.Server(readAhead{p.TCPConn, p.r}, apiConfig(as.hosts))
		for r := bufio.NewReader(s); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = s.Write([]byte(answer(200, "over TLS")))
		}
	})
	for name, after := range map[string][]policy.Binding{
		"gone":        nil,
		"passthrough": {toIntercept(func(b *policy.Binding) { b.To.TLS = policy.TLS{} })},
		"originate":   {toTLS(nil)},
		"another":     {toIntercept(func(b *policy.Binding) { b.Key, b.To.Host = "other", "other.example" })},
	} {
		t.Run(name, func(t *testing.T) {
			w := intercepting(t, as, server, toIntercept(nil))
			c := w.secure(as.egress, nil)
			r := bufio.NewReader(c)
			ask := func() *http.Response {
				t.Helper()
				_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n"))
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = r.Discard(int(res.ContentLength))
				return res
			}
			if res := ask(); res.StatusCode != 200 || res.Close {
				t.Fatal(res)
			}
			w.install(after...)
			if res := ask(); res.StatusCode != 200 || !res.Close {
				t.Errorf("got %v", res)
			}
			if _, err := r.ReadByte(); err == nil {
				t.Error("the connection goes on")
			}
			if plain.Load() > 0 {
				t.Error("a call went out in the clear")
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		server := serveHTTPS(t, apiConfig(as.hosts), sayTLS)
		w := intercepting(t, as, server, toIntercept(http2TLS))
		c := w.https(as.egress, nil)
		mustFetch(t, c, "/")
		w.install()
		mustFetch(t, c, "/") // on the connection that there is
		w.waitFor(t, func() bool { return w.server.Connections() == 0 })
	})
	t.Run("intercepted by another", func(t *testing.T) {
		w := intercepting(t, as, server, toIntercept(nil))
		c := w.https(as.egress, nil)
		mustFetch(t, c, "/")
		w.install(toIntercept(func(b *policy.Binding) { b.Key = "another" }))
		if res, _ := mustFetch(t, c, "/"); res.Close {
			t.Error("the connection ends")
		}
	})
}
