package proxy

import (
	"io"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/policy"
)

// forHost is a binding for the calls to one host.
func forHost(host string, protocol policy.Protocol, change func(*policy.Settings)) policy.Binding {
	b := toAny(change)
	b.Key, b.To = "host "+host, policy.Target{Kind: policy.TargetHost, Host: host, Protocol: protocol}
	return b
}

// broken are request heads that must not be forwarded; HOST stands for a line with the host's name.
var broken = map[string]string{
	"both lengths":          "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"both, the other way":   "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHOST\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
	"lengths that differ":   "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\nHOST\r\n\r\nabcde",
	"a fold":                "GET / HTTP/1.1\r\nX: a\r\n b\r\nHOST\r\n\r\n",
	"a fold behind":         "GET / HTTP/1.1\r\nHOST\r\nX: a\r\n b\r\n\r\n",
	"a bare CR":             "GET / HTTP/1.1\r\nX: a\rb\r\nHOST\r\n\r\n",
	"hidden by a bare CR":   "GET / HTTP/1.1\r\nX: a\rHOST\r\n\r\n",
	"a NUL":                 "GET / HTTP/1.1\r\nX: a\x00b\r\nHOST\r\n\r\n",
	"a NUL behind":          "GET / HTTP/1.1\r\nHOST\x00\r\n\r\n",
	"a space before colon":  "GET / HTTP/1.1\r\nX : a\r\nHOST\r\n\r\n",
	"no colon":              "GET / HTTP/1.1\r\nXYZ\r\nHOST\r\n\r\n",
	"bare line feeds":       "GET / HTTP/1.1\nHOST\n\n",
	"two spaces":            "GET  / HTTP/1.1\r\nHOST\r\n\r\n",
	"another version":       "GET / HTTP/1.7\r\nHOST\r\n\r\n",
	"a large head":          "GET / HTTP/1.1\r\nHOST\r\nX: " + strings.Repeat("x", 300<<10) + "\r\n\r\n",
	"a large head in front": "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 300<<10) + "\r\nHOST\r\n\r\n",
	"a long line":           "GET /" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHOST\r\n\r\n",
	"two hosts":             "GET / HTTP/1.1\r\nHOST\r\nHOST\r\n\r\n",
}

// hostLines are ways of naming a host.
var hostLines = []string{"Host: NAME", "host:NAME:80", "HOST:\t NAME. ", "Host : NAME", "Host:\r\n NAME"}

// Under policies that go by the host, what cannot be understood is refused as soon as it names a governed host, wherever it does so,
// and nothing of it reaches the server.
func TestRule27_MalformedRequestsToAGovernedHostAreRefused(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if b, _ := io.ReadAll(p); len(b) > 0 {
			t.Errorf("forwarded: %.80q", b)
		}
	}), forHost("other.example", policy.ProtocolHTTP, nil), forHost("*.up.example", policy.ProtocolAuto, nil))
	for name, head := range broken {
		for _, line := range hostLines {
			t.Run(name+"/"+line, func(t *testing.T) {
				c := w.dial()
				go func() {
					_, _ = io.WriteString(c, strings.ReplaceAll(head, "HOST", strings.ReplaceAll(line, "NAME", "A.Up.example")))
				}()
				if res, _ := c.response("GET"); res.StatusCode < 400 || res.StatusCode >= 500 && res.StatusCode != 505 || !res.Close {
					t.Fatalf("got %d, close %v", res.StatusCode, res.Close)
				}
				if _, err := c.r.ReadByte(); err != io.EOF {
					t.Errorf("got %v, want the end", err)
				}
			})
		}
	}
}

// The host's line may come after the line that is bad, and later than it.
func TestRule27_TheHostMayComeLater(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if b, _ := io.ReadAll(p); len(b) > 0 {
			t.Errorf("forwarded: %.80q", b)
		}
	}), forHost("up.example", policy.ProtocolHTTP, nil))
	c := w.dial()
	_ = c.SetNoDelay(true)
	for _, piece := range []string{"GET / HTTP/1.1\r\nX : y\r\n", "Ho", "st: up.exa", "mple\r\n", "\r\n"} {
		c.send(piece)
		c.pause(10 * time.Millisecond)
	}
	if res, _ := c.response("GET"); res.StatusCode != 400 {
		t.Errorf("got %d", res.StatusCode)
	}
}

// Where a request of a connection was governed, the connection is: what follows is refused whomever it names.
func TestRule27_NothingMalformedFollowsAGovernedRequest(t *testing.T) {
	for name, head := range broken {
		t.Run(name, func(t *testing.T) {
			w := build(t, serve(t, func(n int, p *peer) {
				echo(n, p)
				if p.r.Buffered() > 0 {
					t.Error("something bad was forwarded")
				}
			}), forHost("up.example", policy.ProtocolHTTP, nil))
			c := w.dial()
			if _, body := c.get("/"); body != "GET / " {
				t.Fatalf("got %q", body)
			}
			go func() { _, _ = io.WriteString(c, strings.ReplaceAll(head, "HOST", "Host: foreign.example")) }()
			if res, _ := c.response("GET"); res.StatusCode < 400 || !res.Close {
				t.Fatalf("got %d", res.StatusCode)
			}
			if n := w.events.passed[PassedUnmatched].Load(); n != 0 {
				t.Error("passed through")
			}
		})
	}
}

// What names other hosts alone, or none, was never ours: it passes byte for byte.
func TestRule27_MalformedRequestsToOthersPass(t *testing.T) {
	for name, head := range broken {
		for _, line := range append([]string{"X-None: 1"}, hostLines...) {
			t.Run(name+"/"+line, func(t *testing.T) {
				sent := strings.ReplaceAll(head, "HOST", strings.ReplaceAll(line, "NAME", "foreign.example"))
				w := build(t, serve(t, func(_ int, p *peer) {
					in := make([]byte, len(sent))
					if n, err := io.ReadFull(p.r, in); err != nil || string(in) != sent {
						t.Errorf("got %.80q, %v", in[:n], err)
					}
					p.send("as you like it")
				}), forHost("up.example", policy.ProtocolHTTP, nil))
				c := w.dial()
				go func() { _, _ = io.WriteString(c, sent) }()
				if got, err := io.ReadAll(c.r); err != nil || string(got) != "as you like it" {
					t.Fatalf("got %q, %v", got, err)
				}
			})
		}
	}
}

// A head of which nobody knows for whom it is, and that does not come to its end, is no more refused than one that is malformed.
func TestRule00_UnfinishedHeadsOfOthersPass(t *testing.T) {
	for name, ends := range map[string]bool{"slow": false, "ended": true} {
		t.Run(name, func(t *testing.T) {
			const sent = "GET / HTTP/1.1\r\nHost: foreign.example\r\nX: "
			w := buildWith(t, Options{headTimeout: drive.FirstCheck}, serve(t, func(_ int, p *peer) {
				in := make([]byte, len(sent))
				if _, err := io.ReadFull(p.r, in); err != nil || string(in) != sent {
					t.Errorf("got %q, %v", in, err)
				}
				p.send("go on")
			}), forHost("up.example", policy.ProtocolHTTP, nil))
			c := w.dial()
			c.send(sent)
			if ends {
				_ = c.CloseWrite()
			}
			if got, err := io.ReadAll(c.r); err != nil || string(got) != "go on" {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	}
}

// Other protocols on a port of a host policy are no malformed requests.
func TestRule00_OtherProtocolsPassUnderAnyHost(t *testing.T) {
	for _, host := range []string{"*", "up.example"} {
		w := build(t, serve(t, func(_ int, p *peer) {
			line, _ := p.r.ReadString('\n')
			p.send("got " + line)
		}), forHost(host, policy.ProtocolHTTP, nil))
		c := w.dial()
		c.send("\x16\x03\x01 HELO\n")
		if got, err := io.ReadAll(c.r); err != nil || string(got) != "got \x16\x03\x01 HELO\n" {
			t.Fatalf("%s: got %q, %v", host, got, err)
		}
	}
}
