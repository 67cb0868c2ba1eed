package front

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A request to a proxy becomes the one that its server gets: in origin form, for this server alone, and with nothing that was meant for the proxy.
func TestRequestsAreRewritten(t *testing.T) {
	for name, tc := range map[string]struct{ give, to, want string }{
		"plain": {
			"GET http://a.example/x?y=1 HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n", "a.example:80",
			"GET /x?y=1 HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		},
		"the target names the host, whatever the field says (RFC 9112 section 3.2.2)": {
			"GET http://a.example:8080 HTTP/1.1\r\nHost: b.example\r\n\r\n", "a.example:8080",
			"GET / HTTP/1.1\r\nHost: a.example:8080\r\nConnection: close\r\n\r\n",
		},
		"what is for the proxy": {
			"GET http://a.example/ HTTP/1.1\r\nProxy-Connection: Keep-Alive\r\nProxy-Authorization: Basic\r\n x\r\nConnection: keep-alive, Upgrade\r\nKeep-Alive: 5\r\nUpgrade: websocket\r\n\r\n",
			"a.example:80", "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: close, Upgrade\r\n\r\n",
		},
		"an address": {
			"GET http://[2001:db8::1]/ HTTP/1.0\r\n\r\n", "[2001:db8::1]:80", "GET / HTTP/1.0\r\nHost: [2001:db8::1]\r\nConnection: close\r\n\r\n",
		},
		"a query alone": {
			"GET http://a.example?q HTTP/1.1\r\n\r\n", "a.example:80", "GET /?q HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
		},
		"the server as a whole": {
			"OPTIONS http://a.example HTTP/1.1\r\n\r\n", "a.example:80", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
		},
		"bare line feeds": {"GET http://a.example/ HTTP/1.1\nA: b\n\n", "a.example:80", "GET / HTTP/1.1\r\nHost: a.example\r\nA: b\r\nConnection: close\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if n := endOfHead([]byte(tc.give + "rest")); n != len(tc.give) {
				t.Errorf("the head ends at %d, want %d", n, len(tc.give))
			}
			h, err := parseHead([]byte(tc.give))
			if err != nil {
				t.Fatal(err)
			}
			to, path, err := h.absolute()
			if err != nil || to.String() != tc.to {
				t.Errorf("it is to %s, %v; want %s", to, err, tc.to)
			}
			if got := string(h.rewritten(path, to.hostField())); got != tc.want {
				t.Errorf("rewritten:\n%q\nwant\n%q", got, tc.want)
			}
		})
	}
}

func TestRequestsThatCannotBeServedAreExplained(t *testing.T) {
	for give, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":                   "give the proxy whole URLs",
		"GET https://a.example/ HTTP/1.1\r\n\r\n":  "what is not http goes through CONNECT",
		"GET http://a.example:0/ HTTP/1.1\r\n\r\n": `"0" is not a port`,
		"GET http://a.example:x/ HTTP/1.1\r\n\r\n": "whole URLs",
		"CONNECT a.example HTTP/1.1\r\n\r\n":       "names no host and port",
		"CONNECT a.example:99999 HTTP/1.1\r\n\r\n": `"99999" is not a port`,
		"HELO there\r\n\r\n":                       errNotHTTP.Error(),
		"GET http://a.example/ HTTP/2.0 x\r\n\r\n": errNotHTTP.Error(),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":         errNotHTTP.Error(),
		"\x16\x03\x01\r\n\r\n":                     errNotHTTP.Error(),
	} {
		h, err := parseHead([]byte(give))
		switch {
		case err != nil:
		case h.method == "CONNECT":
			_, err = h.connectTarget()
		default:
			_, _, err = h.absolute()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", give, err, want)
		}
	}
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("GET http://a.example/x HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"))
	f.Add([]byte("CONNECT a:1 HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := endOfHead(b)
		if n == 0 {
			return
		}
		h, err := parseHead(b[:n])
		if err != nil {
			return
		}
		to, path, err := h.absolute()
		if err != nil {
			return
		}
		out := h.rewritten(path, to.hostField())
		if end := endOfHead(out); end != len(out) {
			t.Errorf("%q is rewritten to %q, which ends at %d", b[:n], out, end)
		}
	})
}
