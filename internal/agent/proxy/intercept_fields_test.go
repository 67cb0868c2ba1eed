package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/policy"
)

// The host is asked for the name of the policy and verified for it, whatever name the pod has verified.
//
//enforces:intercept to[].tls.sni
func TestInterceptAsksForTheNameOfThePolicy(t *testing.T) {
	as := authorities(t)
	config := apiConfig(as.hosts)
	config.Certificates = []tls.Certificate{*as.hosts.Issue(nil, "other.example")}
	w := intercepting(t, as, serveHTTPS(t, config, sayTLS), toIntercept(func(b *policy.Binding) { b.To.TLS.ServerName = "other.example" }))
	if res, body := mustFetch(t, w.https(as.egress, nil), "/"); res.StatusCode != 200 || !strings.Contains(body, "host=api.example sni=other.example") {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// A host that asks for a client certificate gets the policy's, not the pod's.
//
//enforces:intercept to[].tls.clientCertificateRef.name
func TestInterceptPresentsTheCertificateOfThePolicy(t *testing.T) {
	as := authorities(t)
	config := apiConfig(as.hosts)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, as.hosts.Pool()
	server := serveHTTPS(t, config, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].DNSNames[0])
	})
	w := buildWith(t, Options{closedAtOnce: time.Hour}, server)
	w.trust(as.hosts)
	w.issue(as.egress)
	issuer := w.pairs
	w.present(as.hosts.Issue(nil, "policy.example"))
	w.pairs[policy.IssuerName] = issuer[policy.IssuerName]
	w.install(toIntercept(func(b *policy.Binding) { b.To.TLS.Certificate = "client" }))
	own := func(c *tls.Config) { c.Certificates = []tls.Certificate{*as.hosts.Issue(nil, "pod.example")} }
	if res, body := mustFetch(t, w.https(as.egress, own), "/"); res.StatusCode != 200 || body != "policy.example" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// A handshake with the host has a time of its own, and ends with the attempt and with the call.
//
//enforces:intercept timeouts.tlsHandshake
func TestHandshakesOfInterceptedCallsEndInTime(t *testing.T) {
	for name, tc := range map[string]struct {
		set      func(*policy.Timeouts)
		status   int
		detail   routes.Detail
		attempts int
	}{
		"tlsHandshake": {func(l *policy.Timeouts) { l.Connect, l.TLSHandshake = time.Hour, 20*time.Millisecond }, 502, routes.DetailTLSHandshake, 2},
		"perTry":       {func(l *policy.Timeouts) { l.TLSHandshake, l.PerTry = time.Hour, 20*time.Millisecond }, 504, routes.DetailPerTry, 1},
		"overall":      {func(l *policy.Timeouts) { l.TLSHandshake, l.Overall = time.Hour, 20*time.Millisecond }, 504, routes.DetailOverall, 1},
	} {
		for _, protocol := range []policy.Protocol{policy.ProtocolHTTP, policy.ProtocolHTTP2} {
			t.Run(name+" "+protocol.String(), func(t *testing.T) {
				as := authorities(t)
				w := intercepting(t, as, stalling(t), toIntercept(func(b *policy.Binding) {
					b.To.Protocol, b.Base.Retry.MaxRetries = protocol, 1
					tc.set(&b.Base.Timeouts)
				}))
				c := w.https(as.egress, nil)
				c.Timeout = patience
				if res, _ := mustFetch(t, c, "/"); res.StatusCode != tc.status {
					t.Errorf("answered %d, reason %q", res.StatusCode, res.Header.Get("fairlead-reason"))
				}
				if e := w.seen.lastCall(t); e.Detail != tc.detail || e.Outcome.Attempts != tc.attempts {
					t.Errorf("reported as %+v, %q", e.Outcome, e.Detail)
				}
			})
		}
	}
}

// A host that has broken off its handshake has not received anything: that is retried, whatever the method, at another address of its name too.
func TestRule07_ABrokenHandshakeOfAnInterceptedCallIsRetried(t *testing.T) {
	as := authorities(t)
	config := apiConfig(as.hosts)
	w := intercepting(t, as, serve(t, func(n int, p *peer) {
		if n == 0 {
			p.hello()
			_ = p.SetLinger(0)
			return
		}
		s := tls.Server(p.TCPConn, config)
		_, _ = s.Read(make([]byte, 1000))
		_, _ = io.WriteString(s, answer(200, "fine"))
		_ = s.Close()
	}), toIntercept(nil))
	res, err := w.https(as.egress, nil).Post("https://"+apiHost+"/", "text/plain", strings.NewReader("x"))
	check(t, err)
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != "fine" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
	e := w.seen.lastCall(t)
	if len(e.Attempts) != 2 || e.Attempts[0].Kind != call.ConnectFailed || e.Attempts[0].Detail != routes.DetailResetInHandshake {
		t.Errorf("the attempts are %+v", e.Attempts)
	}
}

// A retry goes to another address of the name that the pod has verified, unless the policy says otherwise.
//
//enforces:intercept retry.avoidPreviousEndpoints
func TestRule09_AnInterceptedCallGoesToAnotherAddressOfItsName(t *testing.T) {
	as := authorities(t)
	goesToAnotherAddress(t, as, func(w *testProxy, _ policy.Protocol) (*http.Client, string) { return w.https(as.egress, nil), "https" }, toIntercept)
}

// So does one of a pod that speaks in the clear.
//
//enforces:originate retry.avoidPreviousEndpoints
func TestRule09_AnOriginatedCallGoesToAnotherAddressOfItsName(t *testing.T) {
	goesToAnotherAddress(t, authorities(t), func(w *testProxy, p policy.Protocol) (*http.Client, string) {
		return w.clear(p), "http"
	}, toTLS)
}

func goesToAnotherAddress(
	t *testing.T, as twoCAs, client func(*testProxy, policy.Protocol) (c *http.Client, scheme string), binding func(func(*policy.Binding)) policy.Binding,
) {
	const first, second = "198.51.100.1", "198.51.100.2"
	for _, protocol := range []policy.Protocol{policy.ProtocolHTTP, policy.ProtocolHTTP2} {
		for name, want := range map[string]int{"another": 200, "the same": 503} {
			t.Run(protocol.String()+" "+name, func(t *testing.T) {
				var n [2]atomic.Int64
				server := func(i int, status int) netip.AddrPort {
					return serveHTTPS(t, apiConfig(as.hosts), func(w http.ResponseWriter, _ *http.Request) { n[i].Add(1); w.WriteHeader(status) })
				}
				bad, good := server(0, 503), server(1, 200)
				w := intercepting(t, as, netip.MustParseAddrPort(first+":443"), binding(func(b *policy.Binding) {
					b.To.Protocol, b.Base.Retry.AvoidPreviousEndpoints = protocol, want == 200
					b.Base.Retry.On, b.Base.Retry.MaxRetries = policy.Of(policy.GatewayError), 1
				}))
				w.names.set(apiHost, first, second)
				w.dialer.at.Store(w.original, bad)
				w.dialer.at.Store(netip.AddrPortFrom(netip.MustParseAddr(second), 443), good)
				c, scheme := client(w, protocol)
				res, err := c.Get(scheme + "://" + apiHost + "/")
				check(t, err)
				res.Body.Close()
				if res.StatusCode != want || n[0].Load()+n[1].Load() != 2 {
					t.Errorf("answered %d after %d and %d attempts, want %d", res.StatusCode, n[0].Load(), n[1].Load(), want)
				}
			})
		}
	}
}

// A call that arrives as a retry is not retried inside TLS either, whoever has begun that; and its attempts are numbered there.
func TestCallsThatArriveAsARetryInsideTLSAreNotRetried(t *testing.T) {
	for name, binding := range map[string]func(func(*policy.Binding)) policy.Binding{"intercepted": toIntercept, "originated": toTLS} {
		for _, protocol := range []policy.Protocol{policy.ProtocolHTTP, policy.ProtocolHTTP2} {
			for given, want := range map[string][]string{"2;reason=reset": {"2;reason=reset"}, "1": {"1", "2;reason=upstream_failure"}} {
				t.Run(name+" "+protocol.String()+" "+given, func(t *testing.T) {
					as := authorities(t)
					var m marks
					w := intercepting(t, as, serveHTTPS(t, apiConfig(as.hosts), func(out http.ResponseWriter, q *http.Request) {
						m.add(q.Header)
						out.WriteHeader(503)
					}), binding(func(b *policy.Binding) {
						b.To.Protocol, b.Base.AttemptHeader = protocol, true
						b.Base.Retry.On, b.Base.Retry.MaxRetries, b.Base.Retry.SkipRetried = policy.Of(policy.GatewayError), 1, true
					}))
					c, scheme := w.https(as.egress, nil), "https"
					if name == "originated" {
						c, scheme = w.clear(protocol), "http"
					}
					q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+apiHost+"/", nil)
					check(t, err)
					q.Header.Set("fairlead-attempt", given)
					res, err := c.Do(q)
					check(t, err)
					res.Body.Close()
					if d := cmp.Diff(want, m.take()); d != "" {
						t.Error(d)
					}
				})
			}
		}
	}
}

// clear returns a client that speaks a protocol in the clear.
func (w *testProxy) clear(p policy.Protocol) *http.Client {
	c := w.clearHTTP2()
	c.Transport.(*http.Transport).Protocols.SetHTTP1(p == policy.ProtocolHTTP)
	c.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(p != policy.ProtocolHTTP)
	return c
}

// What cannot be understood inside is refused, and the client learns why: the same answers as in the clear.
func TestRule26_OurOwnAnswersInsideInterceptedTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*policy.Settings)
		server func(*peer, *tls.Conn)
		want   string
		status int
	}{
		"reset": {retryOn(), func(p *peer, _ *tls.Conn) { _ = p.SetLinger(0) }, "reset", 502},
		"protocol": {retryOn(), func(_ *peer, s *tls.Conn) {
			_, _ = io.WriteString(s, "HELLO\r\n\r\n")
			_, _ = io.Copy(io.Discard, s)
		}, "protocol", 502},
		"perTry": {func(s *policy.Settings) { s.Timeouts.PerTry, s.Retry.MaxRetries = 30*time.Millisecond, 0 },
			func(_ *peer, s *tls.Conn) { _, _ = io.Copy(io.Discard, s) }, "per_try_timeout", 504},
		"overall": {func(s *policy.Settings) { s.Timeouts.Overall = 30 * time.Millisecond },
			func(_ *peer, s *tls.Conn) { _, _ = io.Copy(io.Discard, s) }, "deadline", 504},
	} {
		t.Run(name, func(t *testing.T) {
			as := authorities(t)
			config := apiConfig(as.hosts)
			w := intercepting(t, as, serve(t, func(_ int, p *peer) {
				s := tls.Server(p.TCPConn, config)
				if _, err := http.ReadRequest(bufio.NewReader(s)); err == nil {
					tc.server(p, s)
				}
			}), toIntercept(func(b *policy.Binding) { tc.change(&b.Base) }))
			res, body := mustFetch(t, w.https(as.egress, nil), "/")
			if res.StatusCode != tc.status || res.Header.Get("fairlead-reason") != tc.want || body == "" {
				t.Errorf("answered %d, reason %q, %q", res.StatusCode, res.Header.Get("fairlead-reason"), body)
			}
			if !interceptedBy(res) || res.TLS.NegotiatedProtocol == tlslayer.HTTP2 {
				t.Errorf("over %+v", res.TLS)
			}
		})
	}
}
