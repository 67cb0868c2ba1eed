package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// Certificates are replaced under load, and no call fails for it; connections of before serve no new call.
func TestRotationFailsNoCall(t *testing.T) {
	before, after := tlstest.New(t), tlstest.New(t)
	var trusted, certificate atomic.Pointer[tlstest.Authority]
	trusted.Store(before)
	certificate.Store(before)
	config := &tls.Config{ClientAuth: tls.RequireAnyClientCert, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := apiConfig(certificate.Load())
		c.ClientAuth = tls.RequireAnyClientCert
		return c, nil
	}}
	server := serveHTTPS(t, config, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].DNSNames[0])
	})
	named := toTLS(func(b *policy.Binding) { b.To.TLS.Certificate = "client"; b.Base.Retry.MaxRetries = 0 })
	w := build(t, server)
	w.roots = map[string]*policy.Roots{"ca": {Name: "ca", Certificates: [][]byte{before.Root().Raw, after.Root().Raw}}}
	w.present(before.Issue(nil, "pod-0.example"))
	w.install(named)
	stop := underLoad(t, 4, func(int) (call func() error) {
		c := w.dial()
		return func() error {
			if res, body := c.getAPI("/"); res.StatusCode != 200 {
				return fmt.Errorf("answered %d %q", res.StatusCode, body)
			}
			return nil
		}
	})
	c := w.dial()
	for i := 1; i <= 5; i++ {
		name := fmt.Sprintf("pod-%d.example", i)
		certificate.Store([]*tlstest.Authority{before, after}[i%2])
		w.present(before.Issue(nil, name))
		w.install(named)
		if _, body := c.getAPI("/"); body != name {
			t.Errorf("after the install of %s the server sees %q", name, body)
		}
	}
	stop()
}

// Sessions are resumed, and an edit that does not concern TLS keeps them and the connections.
func TestSessionsSurviveOtherEdits(t *testing.T) {
	a := tlstest.New(t)
	resumed := make(chan bool, 10)
	server := serveHTTPS(t, apiConfig(a), func(w http.ResponseWriter, r *http.Request) {
		resumed <- r.TLS.DidResume
		w.Header().Set("Connection", r.URL.Query().Get("conn"))
	})
	w := originating(t, a, server, toTLS(nil))
	c := w.dial()
	ask := func(conn string) bool {
		c.getAPI("/?conn=" + conn)
		return <-resumed
	}
	if ask("close") {
		t.Error("the first connection resumes a session")
	}
	c = w.dial()
	if !ask("keep-alive") {
		t.Error("the second one does not")
	}
	poll(t, func() (idle bool) { // the answer is there before its connection is back
		w.store.Stats(time.Now(), func(s routes.Stats) { idle = idle || s.Pool.Idle > 0 })
		return idle
	})
	w.install(toTLS(func(b *policy.Binding) { b.Base.Retry.MaxRetries = 1 }))
	c = w.dial()
	before := w.dialer.dials.Load()
	if !ask("close") || w.dialer.dials.Load() != before {
		t.Error("the connection did not survive the edit")
	}
	c = w.dial()
	if !ask("close") {
		t.Error("the session did not survive the edit")
	}
	w.trust(tlstest.New(t))
	w.install(toTLS(nil))
	c = w.dial()
	if res, _ := c.getAPI("/"); res.StatusCode != 502 {
		t.Errorf("a server that is trusted no more is answered %d", res.StatusCode)
	}
}
