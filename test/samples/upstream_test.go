package samples

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// seen is a request as the upstream has it.
type seen struct {
	path   string
	header http.Header
}

// answering is an upstream that answers requests in turn, the last answer ever after, and counts them.
type answering struct {
	mu       sync.Mutex
	answers  []http.HandlerFunc
	requests []seen
}

func (a *answering) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	a.mu.Lock()
	a.requests = append(a.requests, seen{r.URL.Path, r.Header.Clone()})
	answer := a.answers[min(len(a.requests), len(a.answers))-1]
	a.mu.Unlock()
	answer(rw, r)
}

// taken returns the requests that have come, and forgets them; answers begin anew.
func (a *answering) taken() []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.requests
	a.requests = nil
	return out
}

// script sets the answers.
func (a *answering) script(answers ...http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers, a.requests = answers, nil
}

// status answers with a status, and header fields in pairs.
func status(code int, fields ...string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			rw.Header().Set(fields[i], fields[i+1])
		}
		rw.WriteHeader(code)
	}
}

// serve serves plainly, over HTTP/1.1 and HTTP/2.
func (a *answering) serve(t *testing.T) netip.AddrPort {
	t.Helper()
	s := httptest.NewUnstartedServer(a)
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

// serveTLS serves over TLS, with a certificate that root has issued.
func (a *answering) serveTLS(t *testing.T, names ...string) (at netip.AddrPort, root *x509.Certificate) {
	t.Helper()
	s := httptest.NewUnstartedServer(a)
	authority := tlstest.New(t)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*authority.Issue(nil, names...)}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort(), authority.Root()
}

// call makes a call and returns its answer, the body of which has been read.
func call(t *testing.T, c *http.Client, method, url, body string, fields ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res
}

// ends fails the test unless an answer has a status and the upstream has seen so many requests, which it returns.
func ends(t *testing.T, res *http.Response, code int, up *answering, requests int) []seen {
	t.Helper()
	got := up.taken()
	if res.StatusCode != code || len(got) != requests {
		t.Fatalf("answered %d after %d requests, want %d after %d", res.StatusCode, len(got), code, requests)
	}
	return got
}
