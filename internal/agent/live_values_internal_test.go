package agent

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/telemetry/steps"
	"fairlead.dev/fairlead/internal/policy"
)

// canary is in every value that a call carries, and in nothing else.
const canary = "Canary4711"

// raw answers with bytes as they are.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.Close()
	}
}

// No value of a header field, no body and no query of a real call is in what a tap or a trace shows of it, however the call ends: of requests and of
// responses, with fields that policies look at, of gRPC, and of responses that are malformed in just that part (docs/decisions/019).
func TestNoValueOfACallIsShown(t *testing.T) {
	fields := "X-Secret: " + canary + "\r\nSet-Cookie: id=" + canary + "\r\nContent-Type: text/" + canary + "\r\nLocation: /" + canary + "\r\n"
	head := func(status, more string) string { return "HTTP/1.1 " + status + "\r\n" + fields + more }
	for name, response := range map[string]string{
		"a response":                    head("200 OK", "Content-Length: 10\r\n\r\n"+canary),
		"a failure":                     head("503 "+canary, "Retry-After: 0\r\nContent-Length: 10\r\n\r\n"+canary),
		"a wish that is none":           head("503 x", "Retry-After: "+canary+"\r\nContent-Length: 0\r\n\r\n"),
		"a redirection":                 head("302 Found", "Content-Length: 0\r\n\r\n"),
		"a gRPC status":                 head("200 OK", "Grpc-Status: 14\r\nGrpc-Message: "+canary+"\r\nContent-Length: 0\r\n\r\n"),
		"trailers":                      head("200 OK", "Trailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\na\r\n"+canary+"\r\n0\r\nX-End: "+canary+"\r\n\r\n"),
		"a body that breaks off":        head("200 OK", "Content-Length: 100\r\n\r\n"+canary),
		"a malformed value":             head("200 OK", "X-Bad: "+canary+"\x01\r\nContent-Length: 0\r\n\r\n"),
		"a malformed name":              head("200 OK", canary+" : x\r\nContent-Length: 0\r\n\r\n"),
		"a malformed length":            head("200 OK", "Content-Length: "+canary+"\r\n\r\n"),
		"a malformed transfer encoding": head("200 OK", "Transfer-Encoding: "+canary+"\r\n\r\n"),
		"a malformed chunk":             head("200 OK", "Transfer-Encoding: chunked\r\n\r\n"+canary+"\r\n"),
		"what is no response":           canary + "\r\n\r\n",
		"an upgrade":                    head("101 Switching Protocols", "Upgrade: "+canary+"\r\nConnection: upgrade\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(raw(response))
			defer server.Close()
			l := startLive(t, server, func(s *policy.Settings) {
				s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.GatewayError, policy.Reset), 1
				s.Timeouts.Overall = 10 * time.Second
			})
			l.traces = steps.New(l.proxy.Watches(), slog.New(slog.DiscardHandler), func(string) (string, string) { return "shop/checkout-1", "Deployment/checkout" })
			traces := httptest.NewServer(l.traces.Handler("node-1"))
			defer traces.Close()
			next := l.tap(t, "")
			trace, traced := opened(t, traces.URL+"?for=1m&header=x-secret")
			defer trace.Close()
			callWithValues(t, l.client)
			_, shown := next()
			steps, err := io.ReadAll(traced)
			if err != nil {
				t.Fatal(err)
			}
			for of, text := range map[string]string{"the tap": shown, "the trace": string(steps)} {
				if strings.Contains(strings.ToLower(text), strings.ToLower(canary)) {
					t.Errorf("%s shows %s", of, text)
				}
				if !strings.Contains(text, `"path":"/v1/charges"`) {
					t.Errorf("%s does not show the call: %s", of, text)
				}
			}
			if !strings.Contains(string(steps), `"end":`) {
				t.Errorf("the trace has no end: %s", steps)
			}
		})
	}
}

// opened opens a stream, of which the first line says that it is open.
func opened(t *testing.T, address string) (io.Closer, *bufio.Reader) {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(res.Body)
	if line, err := from.ReadString('\n'); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, %v", res.StatusCode, line, err)
	}
	return res.Body, from
}

// callWithValues makes a call that has the canary in whatever is not to be shown.
func callWithValues(t *testing.T, client *http.Client) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://payments.shop/v1/charges?card="+canary, strings.NewReader("body "+canary))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Secret", "Authorization", "Cookie", "Content-Type", "User-Agent", "Idempotency-Key", "Accept", "Te", "X-Request-Id"} {
		req.Header.Set(name, canary)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		return // what the pod gets is not the matter here
	}
	_, _ = io.Copy(io.Discard, res.Body) // it may break off
	_ = res.Body.Close()
}
