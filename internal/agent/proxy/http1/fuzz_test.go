package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// seeds are whole streams of requests.
var seeds = []string{
	typicalRequest,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET http://b/ HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\nX: 1\r\n\r\n",
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
	"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nTE: trailers\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
}

// FuzzRequests checks that whatever is accepted
//   - is understood alike by net/http, from the bytes read and from the bytes forwarded: same method, target, host, body and end;
//   - reads as itself when it is forwarded once more;
//   - does not depend on how the bytes are split.
func FuzzRequests(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := forwardRequests(bytes.NewReader(in), Forward{})
		split := forwardRequests(&pieces{bytes.Clone(in), newRand(uint64(len(in))), 5}, Forward{})
		if len(whole) != len(split) {
			t.Fatalf("%d messages, split %d", len(whole), len(split))
		}
		read := bufio.NewReader(bytes.NewReader(in))
		for i, m := range whole {
			if s := split[i]; (m.err == nil) != (s.err == nil) || m.err == nil && m.wire != s.wire {
				t.Fatalf("message %d: whole %+v, split %+v", i, m, s)
			}
			if m.err != nil {
				return
			}
			compare(t, read, m.wire)
			if again := forwardRequests(strings.NewReader(m.wire), Forward{}); len(again) != 1 || again[0] != m {
				t.Fatalf("forwarded %q, again %+v", m.wire, again)
			}
		}
	})
}

// compare reads one request from what we read and one from what we forwarded, both as net/http understands them.
func compare(t *testing.T, read *bufio.Reader, forwarded string) {
	t.Helper()
	skipEmptyLines(read)
	want, err := http.ReadRequest(read)
	if err != nil {
		// net/http is stricter about targets, which do not delimit anything; what it says about framing counts.
		if strings.Contains(err.Error(), "parse ") || strings.Contains(err.Error(), "invalid") && strings.Contains(err.Error(), "URI") {
			t.Skip()
		}
		t.Fatalf("accepted what net/http refuses: %v\n%q", err, forwarded)
	}
	wantBody, err := io.ReadAll(want.Body)
	if tooLong(err) {
		t.Skip()
	}
	if err != nil {
		t.Fatalf("net/http refuses the body: %v\n%q", err, forwarded)
	}
	rest := bufio.NewReader(strings.NewReader(forwarded))
	got, err := http.ReadRequest(rest)
	if err != nil {
		t.Fatalf("net/http refuses what was forwarded: %v\n%q", err, forwarded)
	}
	gotBody, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(gotBody, wantBody) {
		t.Fatalf("body %q, %v, want %q", gotBody, err, wantBody)
	}
	if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || got.ContentLength != want.ContentLength {
		t.Fatalf("forwarded %+v\nread %+v", got, want)
	}
	if left, err := io.ReadAll(rest); err != nil || len(left) > 0 {
		t.Fatalf("%q is left of what was forwarded", left)
	}
	for _, hop := range []string{"Keep-Alive", "Proxy-Connection"} {
		if got.Header.Get(hop) != "" {
			t.Fatalf("%s was forwarded: %q", hop, forwarded)
		}
	}
}

// skipEmptyLines does what http.Server does not need to: it ignores empty lines in front of a request.
func skipEmptyLines(r *bufio.Reader) {
	for {
		if p, err := r.Peek(2); err != nil || string(p) != "\r\n" {
			return
		}
		_, _ = r.Discard(2)
	}
}

// FuzzResponses checks that an accepted response, mended or not, is forwarded in a form that net/http accepts and that is
// forwarded as it is by another proxy, however the bytes are split.
func FuzzResponses(f *testing.F) {
	for _, s := range []string{
		responseHead + strings.Repeat("x", 1024),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive, x\r\nX: 1\r\n\r\nuntil close",
		"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, head bool) {
		to, method := RequestInfo{Head: head}, http.MethodGet
		if head {
			method = http.MethodHead
		}
		whole := forwardResponses(bytes.NewReader(in), Forward{}, to, to)
		split := forwardResponses(&pieces{bytes.Clone(in), newRand(uint64(len(in))), 5}, Forward{}, to, to)
		if len(whole) != len(split) {
			t.Fatalf("%d messages, split %d", len(whole), len(split))
		}
		for i, m := range whole {
			if s := split[i]; (m.err == nil) != (s.err == nil) || m.err == nil && m.wire != s.wire {
				t.Fatalf("message %d: whole %+v, split %+v", i, m, s)
			}
			if m.err != nil {
				return
			}
			if again := forwardResponses(strings.NewReader(m.wire), Forward{}, to); len(again) == 0 || again[0] != m {
				t.Fatalf("forwarded %q, again %+v", m.wire, again)
			}
			rest := bufio.NewReader(strings.NewReader(m.wire))
			if _, _, err := netHTTPResponse(rest, method); tooLong(err) || oddField(err) {
				return
			} else if err != nil {
				t.Fatalf("net/http refuses what was forwarded: %v\n%q", err, m.wire)
			}
			if left, err := io.ReadAll(rest); err != nil || len(left) > 0 {
				t.Fatalf("%q is left of what was forwarded", left)
			}
		}
	})
}

func netHTTPResponse(r *bufio.Reader, method string) (*http.Response, []byte, error) {
	p, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(p.Body)
	return p, body, errors.Join(err, p.Body.Close())
}

// tooLong reports whether net/http refuses a body for its size, which is no matter of meaning.
func tooLong(err error) bool {
	if err == nil {
		return false
	}
	for _, text := range []string{"suspiciously long trailer", "too much overhead", "chunk length too large", "chunk line too long", "line too long"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// oddField reports whether net/http refuses the name of a field or a control character in its value, where other clients do not.
func oddField(err error) bool {
	return err != nil && strings.Contains(err.Error(), "malformed MIME header line")
}

// FuzzChunked checks chunked bodies against net/http's reader: nothing is accepted that it refuses, and both find the same end.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\nrest", "5;a=\"b\";c\r\nhello\r\n0;d\r\nT: v\r\n\r\n", "fF\r\n", "1\r\na\r\n1 ;b\r\nb\r\n00\r\n\r\n",
		"7fffffffffffffff\r\n", "0\r\nContent-Length: 1\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	const head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	f.Fuzz(func(t *testing.T, body []byte) {
		r := NewReader(&pieces{append([]byte(head), body...), newRand(uint64(len(body))), 9})
		var (
			q   Request
			b   Body
			out bytes.Buffer
		)
		if err := r.ReadRequest(&q); err != nil {
			t.Fatal(err)
		}
		r.Body(&b, &q.Head)
		done := b.CopyTo(&out, Copying{})
		if !bytes.HasPrefix(body, out.Bytes()) {
			t.Fatalf("sent %q", out.Bytes())
		}
		if done.Read != nil {
			return
		}
		theirs := bufio.NewReader(strings.NewReader(head + string(body)))
		want, err := http.ReadRequest(theirs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, want.Body); err != nil {
			if tooLong(err) {
				return
			}
			t.Fatalf("net/http refuses: %v", err)
		}
		left, err := io.ReadAll(theirs)
		if err != nil || !bytes.Equal(left, body[out.Len():]) {
			t.Fatalf("net/http leaves %q, we %q", left, body[out.Len():])
		}
	})
}
