package http1

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRule28_HopByHopFieldsAreRemoved(t *testing.T) {
	for name, tc := range map[string]struct {
		in, want string
		f        Forward
	}{
		"nothing to remove: the bytes as read": {
			in:   "GET /a?b=%20c HTTP/1.1\r\nhOsT:   a\r\nX-One:1\r\nx-two: \t 2 \t\r\nX-One: again\r\nEmpty:\r\n\r\n",
			want: "GET /a?b=%20c HTTP/1.1\r\nhOsT:   a\r\nX-One:1\r\nx-two: \t 2 \t\r\nX-One: again\r\nEmpty:\r\n\r\n",
		},
		"connection and what it names, in any case": {
			in:   "GET / HTTP/1.1\r\nX-Foo: 1\r\nHost: a\r\nConnection: x-foo , close,,BAR\r\nbar: 2\r\nBarn: 3\r\nX-FOO: 4\r\nLast: 5\r\n\r\n",
			want: "GET / HTTP/1.1\r\nHost: a\r\nBarn: 3\r\nLast: 5\r\n\r\n",
		},
		"several connection fields": {
			in:   "GET / HTTP/1.1\r\nConnection: a\r\nHost: a\r\nA: 1\r\nB: 2\r\nConnection: keep-alive\r\nCONNECTION:b\r\n\r\n",
			want: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		},
		"the well-known ones without being named": {
			in:   "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\nAccept: */*\r\n\r\n",
			want: "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
		},
		"framing and routing are not for Connection to remove": {
			in:   "POST / HTTP/1.1\r\nHost: a\r\nConnection: host, content-length, transfer-encoding, trailer\r\nContent-Length: 2\r\n\r\nhi",
			want: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
		},
		"the same content length twice is sent once": {
			in:   "POST / HTTP/1.1\r\nContent-Length: 2\r\nHost: a\r\ncontent-length: 2\r\n\r\nhi",
			want: "POST / HTTP/1.1\r\nContent-Length: 2\r\nHost: a\r\n\r\nhi",
		},
		"trailers may still be asked for": {
			in:   "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
			want: "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
		},
		"an absolute target's authority replaces Host": {
			in:   "GET http://b:80/x HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n",
			want: "GET http://b:80/x HTTP/1.1\r\nA: 1\r\nHost: b:80\r\n\r\n",
		},
		"an absolute target that agrees with Host": {
			in:   "GET http://A/x HTTP/1.1\r\nHost: a\r\n\r\n",
			want: "GET http://A/x HTTP/1.1\r\nHost: a\r\n\r\n",
		},
		"another host": {
			in:   "GET /x HTTP/1.1\r\nhost: a\r\nA: 1\r\n\r\n",
			want: "GET /x HTTP/1.1\r\nA: 1\r\nHost: c:81\r\nX: y\r\n\r\n",
			f:    Forward{Authority: "c:81", Extra: []byte("X: y\r\n")},
		},
		"another host than an absolute target's": {
			in:   "GET http://b:80/x?http://b HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n",
			want: "GET http://c/x?http://b HTTP/1.1\r\nA: 1\r\nHost: c\r\n\r\n",
			f:    Forward{Authority: "c"},
		},
		"another host where none is named": {
			in:   "GET /x HTTP/1.0\r\nA: 1\r\n\r\n",
			want: "GET /x HTTP/1.0\r\nA: 1\r\nHost: c\r\n\r\n",
			f:    Forward{Authority: "c"},
		},
		"extra lines come last": {
			in:   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
			want: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nIdempotency-Key: k\r\nX: y\r\n\r\nhi",
			f:    Forward{Extra: []byte("Idempotency-Key: k\r\nX: y\r\n")},
		},
		"our own word on the connection": {
			in:   "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
			want: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			f:    Forward{ConnOption: ConnClose},
		},
		"an HTTP/1.0 request stays one": {
			in:   "GET / HTTP/1.0\r\nConnection: keep-alive\r\nA: b\r\n\r\n",
			want: "GET / HTTP/1.0\r\nA: b\r\n\r\n",
		},
		"empty lines in front are dropped": {
			in:   "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
			want: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for how, src := range splits(tc.in) {
				got := forwardRequests(src, tc.f)
				if diff := cmp.Diff([]message{{wire: tc.want}}, got, cmp.AllowUnexported(message{})); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", how, diff)
				}
			}
		})
	}
}

func TestRule28_HopByHopFieldsOfResponses(t *testing.T) {
	for name, tc := range map[string]struct {
		in, want string
		f        Forward
	}{
		"as read": {
			in:   "HTTP/1.1 200 All is well\r\nserver: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi",
			want: "HTTP/1.1 200 All is well\r\nserver: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi",
		},
		"keep-alive goes": {
			in:   "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nhi",
			want: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		},
		"an advertised upgrade goes": {
			in:   "HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
			want: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		},
		"426 says what to upgrade to": {
			in:   "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
			want: "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
		},
		"an HTTP/1.0 response becomes ours": {
			in:   "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
			want: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
			f:    Forward{ConnOption: ConnClose},
		},
		"no reason and no space": {
			in:   "HTTP/1.1 204\r\nA: b\r\n\r\n",
			want: "HTTP/1.1 204\r\nA: b\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for how, src := range splits(tc.in) {
				got := forwardResponses(src, tc.f, RequestInfo{})
				if diff := cmp.Diff([]message{{wire: tc.want}}, got, cmp.AllowUnexported(message{})); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", how, diff)
				}
			}
		})
	}
}

func TestRule29_UpgradeIsOfferedOn(t *testing.T) {
	for name, tc := range map[string]struct {
		in, want string
		upgrade  bool
	}{
		"websocket": {
			in:      "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
			want:    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			upgrade: true,
		},
		"not named by Connection": {
			in:   "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
			want: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		},
		"in HTTP/1.0": {
			in:   "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			want: "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
		},
		"h2c, as Java's client offers it": {
			in:   "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: a\r\nHTTP2-Settings: AAEA\r\nUpgrade: h2c\r\n\r\n",
			want: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := readRequest(t, tc.in)
			if err != nil || q.Upgrade != tc.upgrade || q.Info().Upgrade != tc.upgrade {
				t.Fatalf("error %v, upgrade %v", err, q.Upgrade)
			}
			var out bytes.Buffer
			if _, err := q.WriteRequest(&out, Forward{}, nil); err != nil || out.String() != tc.want {
				t.Errorf("got %q, %v\nwant %q", out.String(), err, tc.want)
			}
		})
	}
}

func TestRule29_SwitchingProtocolsIsPassedOn(t *testing.T) {
	r := NewReader(strings.NewReader("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 7\r\n\r\n\x81\x02hi"))
	var p Response
	if err := r.ReadResponse(&p, RequestInfo{Upgrade: true}); err != nil || p.Framing != Tunnel || p.Interim() {
		t.Fatalf("%v, framing %v", err, p.Framing)
	}
	var out bytes.Buffer
	if _, err := p.WriteResponse(&out, Forward{}, nil); err != nil {
		t.Fatal(err)
	}
	want := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	if out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
	if got := string(r.Buffered()); got != "\x81\x02hi" {
		t.Errorf("the tunnel begins with %q", got)
	}
}

func TestRule29_Persistence(t *testing.T) {
	const (
		http11      = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		http11Close = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		http10      = "GET / HTTP/1.0\r\n\r\n"
		http10Keep  = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
		sized       = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
		unsized     = "HTTP/1.1 200 OK\r\n\r\n"
		goodbye     = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
	)
	for name, tc := range map[string]struct {
		request, response string
		closing           bool
		keep              bool
		say               ConnOption
		upstream          bool // the upstream connection can be used again
	}{
		"HTTP/1.1":                     {http11, sized, false, true, NoConnOption, true},
		"client closes":                {http11Close, sized, false, false, ConnClose, true},
		"upstream closes":              {http11, goodbye, false, true, NoConnOption, false},
		"until close":                  {http11, unsized, false, false, ConnClose, false},
		"we close":                     {http11, sized, true, false, ConnClose, true},
		"HTTP/1.0":                     {http10, sized, false, false, ConnClose, true},
		"HTTP/1.0 kept alive":          {http10Keep, sized, false, true, ConnKeepAlive, true},
		"HTTP/1.0 until close":         {http10Keep, unsized, false, false, ConnClose, false},
		"HTTP/1.0, chunked":            {http10Keep, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, false, ConnClose, true},
		"interim":                      {http11Close, "HTTP/1.1 103 Early Hints\r\n\r\n", false, true, NoConnOption, true},
		"upstream speaks HTTP/1.0":     {http11, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", false, true, NoConnOption, false},
		"upstream HTTP/1.0 keep-alive": {http11, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n", false, true, NoConnOption, true},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := readRequest(t, tc.request)
			if err != nil {
				t.Fatal(err)
			}
			p, err := readResponse(t, tc.response, q.Info())
			if err != nil {
				t.Fatal(err)
			}
			keep, say := p.Persistence(q, tc.closing)
			if keep != tc.keep || say != tc.say || p.KeepAlive != tc.upstream {
				t.Errorf("got keep %v, say %v, upstream %v", keep, say, p.KeepAlive)
			}
		})
	}
}

// limitedWriter accepts so many bytes and then fails.
type limitedWriter struct{ left int }

var errFull = errors.New("full")

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(w.left, len(p))
	w.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// Rule 7 rests on how many bytes were accepted.
func TestRule07_WritesCountWhatWasAccepted(t *testing.T) {
	for name, in := range map[string]string{
		"as read":   "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
		"rewritten": "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
	} {
		t.Run(name, func(t *testing.T) {
			for _, accepts := range []int{0, 1, 30} {
				r := NewReader(strings.NewReader(in))
				var q Request
				var b Body
				if err := r.ReadRequest(&q); err != nil {
					t.Fatal(err)
				}
				r.Body(&b, &q.Head)
				body, err := b.Ready()
				if err != nil {
					t.Fatal(err)
				}
				n, err := q.WriteRequest(&limitedWriter{accepts}, Forward{}, body)
				if n != accepts || err != errFull {
					t.Errorf("accepted %d: got %d, %v", accepts, n, err)
				}
			}
		})
	}
}

// A request can be sent again as long as it is not finished, however much of its body has passed since.
func TestRule18_TheHeadStaysForReplay(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 500000\r\n\r\n"
	r := NewReader(&pieces{[]byte(head + strings.Repeat("x", 500000)), newRand(9), 100_000})
	var q Request
	var b Body
	if err := r.ReadRequest(&q); err != nil {
		t.Fatal(err)
	}
	r.Body(&b, &q.Head)
	var tee tap
	done := b.CopyTo(&bytes.Buffer{}, Copying{Tap: &tee})
	if done != (Copied{Bytes: 500000}) || len(tee.got) != 500000 {
		t.Fatalf("copied %+v, seen %d", done, len(tee.got))
	}
	var out bytes.Buffer
	if _, err := q.WriteRequest(&out, Forward{}, tee.got); err != nil {
		t.Fatal(err)
	}
	want := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("x", 500000)
	if out.String() != want {
		t.Errorf("replayed %d bytes, want %d", out.Len(), len(want))
	}
	if string(q.Host()) != "a" || string(q.Method()) != "POST" {
		t.Errorf("host %q, method %q", q.Host(), q.Method())
	}
}
