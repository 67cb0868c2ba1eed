package http1

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// What RFC 9112 says how to mend, and what common clients read with a plain meaning, is forwarded in the form it should have had.
func TestRule27_ResponsesAreMended(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, tc := range map[string]struct {
		in, want string
		close    bool // the upstream's connection is not used again
	}{
		"space before a colon":       {in: ok + "A : b\r\nContent-Length: 0\r\n\r\n", want: ok + "A: b\r\nContent-Length: 0\r\n\r\n"},
		"tabs before a colon":        {in: ok + "A\t \t:b\r\nContent-Length: 0\r\n\r\n", want: ok + "A:b\r\nContent-Length: 0\r\n\r\n"},
		"space before length":        {in: ok + "Content-Length : 2\r\n\r\nhi", want: ok + "Content-Length: 2\r\n\r\nhi"},
		"space before a hop-by-hop":  {in: ok + "Connection : x\r\nX : y\r\nContent-Length: 0\r\n\r\n", want: ok + "Content-Length: 0\r\n\r\n"},
		"folded":                     {in: ok + "A: b\r\n \t c\r\n\td \r\nContent-Length: 0\r\n\r\n", want: ok + "A: b c d\r\nContent-Length: 0\r\n\r\n"},
		"folded, empty first":        {in: ok + "Content-Length:\r\n 2\r\n\r\nhi", want: ok + "Content-Length: 2\r\n\r\nhi"},
		"folded, empty last":         {in: ok + "A: b\r\n \r\nContent-Length: 0\r\n\r\n", want: ok + "A: b \r\nContent-Length: 0\r\n\r\n"},
		"folded list":                {in: ok + "Connection: a,\r\n b\r\nA: 1\r\nB: 2\r\nContent-Length: 0\r\n\r\n", want: ok + "Content-Length: 0\r\n\r\n"},
		"space behind the status":    {in: ok + " A: b\r\n\tC: d\r\nContent-Length: 0\r\n\r\n", want: ok + "Content-Length: 0\r\n\r\n"},
		"bare LF":                    {in: "HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\nhi", want: ok + "A: b\r\nContent-Length: 2\r\n\r\nhi"},
		"bare LF now and then":       {in: ok + "A: b\nContent-Length: 2\r\n\nhi", want: ok + "A: b\r\nContent-Length: 2\r\n\r\nhi"},
		"bare LF without fields":     {in: "HTTP/1.1 204 None\n\n", want: "HTTP/1.1 204 None\r\n\r\n"},
		"bare CR in a value":         {in: ok + "A: b\rc\r\nContent-Length: 0\r\n\r\n", want: ok + "A: b c\r\nContent-Length: 0\r\n\r\n"},
		"bare CR behind a value":     {in: ok + "A: b\r\r\nContent-Length: 0\r\r\n\r\n", want: ok + "A: b \r\nContent-Length: 0 \r\n\r\n"},
		"NUL in a value":             {in: ok + "A: b\x00c\r\nContent-Length: 0\r\n\r\n", want: ok + "A: b c\r\nContent-Length: 0\r\n\r\n"},
		"other control characters":   {in: ok + "A: \x1b[0m\x7f\x01\r\nContent-Length: 0\r\n\r\n", want: ok + "A: \x1b[0m\x7f\x01\r\nContent-Length: 0\r\n\r\n"},
		"NUL in the reason":          {in: "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", want: "HTTP/1.1 200 O K\r\nContent-Length: 0\r\n\r\n"},
		"spaces in the status line":  {in: "HTTP/1.1 \t 200\t OK  then\r\nContent-Length: 0\r\n\r\n", want: "HTTP/1.1 200  OK  then\r\nContent-Length: 0\r\n\r\n"},
		"names that are none":        {in: ok + "A b : c\r\nD[e]: f\r\n\xc3\xa4:g\r\n: h\r\nContent-Length: 0\r\n\r\n", want: ok + "A b: c\r\nD[e]: f\r\n\xc3\xa4:g\r\n: h\r\nContent-Length: 0\r\n\r\n"},
		"lengths in odd names":       {in: ok + "\"Content-Length\": 7\r\nContent Length: 8\r\nContent-Length: 0\r\n\r\n", want: ok + "\"Content-Length\": 7\r\nContent Length: 8\r\nContent-Length: 0\r\n\r\n"},
		"HTTP/2.0":                   {in: "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", want: ok + "Content-Length: 0\r\n\r\n"},
		"a higher minor version":     {in: "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", want: ok + "Content-Length: 0\r\n\r\n"},
		"the highest minor version":  {in: "HTTP/1.9 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"empty lines in front":       {in: "\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", want: ok + "Content-Length: 0\r\n\r\n"},
		"an empty LF in front":       {in: "\n" + ok + "Content-Length: 0\r\n\r\n", want: ok + "Content-Length: 0\r\n\r\n"},
		"the same length in a list":  {in: ok + "Content-Length: 2, 2,2\r\n\r\nhi", want: ok + "Content-Length: 2\r\n\r\nhi"},
		"the same length, no space":  {in: ok + "Content-Length:2,2\r\nA: b\r\n\r\nhi", want: ok + "Content-Length:2\r\nA: b\r\n\r\nhi"},
		"length and coding":          {in: ok + "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", close: true},
		"coding and lengths":         {in: ok + "Transfer-Encoding:Chunked\r\nContent-Length: 9\r\nContent-Length: x\r\n\r\n0\r\n\r\n", want: ok + "Transfer-Encoding:Chunked\r\n\r\n0\r\n\r\n", close: true},
		"coding in HTTP/1.0":         {in: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", close: true},
		"kept alive in HTTP/1.0":     {in: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", close: true},
		"chunked twice":              {in: ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"chunked, chunked":           {in: ok + "Transfer-Encoding:chunked,chunked\r\nA: b\r\n\r\n0\r\n\r\n", want: ok + "Transfer-Encoding:chunked\r\nA: b\r\n\r\n0\r\n\r\n"},
		"identity":                   {in: ok + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", want: ok + "Content-Length: 2\r\n\r\nhi"},
		"204 with a length":          {in: "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n", want: "HTTP/1.1 204 None\r\n\r\n"},
		"204 with a coding":          {in: "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n", want: "HTTP/1.1 204 None\r\n\r\n"},
		"204 with both":              {in: "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", want: "HTTP/1.1 204 None\r\n\r\n", close: true},
		"many nominations":           {in: ok + "Connection: " + strings.Repeat("x, ", 30) + "y\r\nY: 1\r\nX: 2\r\nXY: 3\r\nContent-Length: 0\r\n\r\n", want: ok + "XY: 3\r\nContent-Length: 0\r\n\r\n"},
		"malformed connection":       {in: ok + "Connection: keep alive, x\r\nX: 1\r\nContent-Length: 0\r\n\r\n", want: ok + "Content-Length: 0\r\n\r\n", close: true},
		"two hosts":                  {in: ok + "Host: a\r\nHost: b/c\r\nContent-Length: 0\r\n\r\n", want: ok + "Host: a\r\nHost: b/c\r\nContent-Length: 0\r\n\r\n"},
		"space before an extension":  {in: ok + "Transfer-Encoding: chunked\r\n\r\n5 \t;ext=1\r\nhello\r\n0 ;x\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0;x\r\n\r\n"},
		"space behind a size":        {in: ok + "Transfer-Encoding: chunked\r\n\r\n5   \r\nhello\r\n0 \r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		"zeros in front of a size":   {in: ok + "Transfer-Encoding: chunked\r\n\r\n00000000000000000000005\r\nhello\r\n" + strings.Repeat("0", 40) + "\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n00000000000000000000005\r\nhello\r\n" + strings.Repeat("0", 40) + "\r\n\r\n"},
		"bare LF in chunk lines":     {in: ok + "Transfer-Encoding: chunked\r\n\r\n5\nhello\n2;x\nhi\n0\n\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2;x\r\nhi\r\n0\r\n\r\n"},
		"space and bare LF":          {in: ok + "Transfer-Encoding: chunked\r\n\r\n5 \nhello\n0   \nT : u\n\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT:  u\r\n\r\n"},
		"a long extension":           {in: ok + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("e", 10000) + "\r\nx\r\n0\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("e", 10000) + "\r\nx\r\n0\r\n\r\n"},
		"trailers with odd lines":    {in: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nT : u\r\nV: w\r\n  x\r\nY: a\x00b\n\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nT:  u\r\nV: w    x\r\nY: a b\r\n\r\n"},
		"trailers that do not count": {in: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\nA: b\r\nConnection: c\r\nHost: d\r\n\r\n", want: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n"},
		"everything at once": {
			in: "\nHTTP/1.0  200\tOK\nA\t: b\n c\nContent-Length: 7\nTransfer-Encoding: chunked, identity\nConnection: D\nD: e\nT\x20: \x00\n\n" +
				"3 \nabc\n0\nD: f\nE: g\n h\n\n",
			want:  "HTTP/1.1 200 OK\r\nA: b c\r\nTransfer-Encoding: chunked\r\nT:  \r\n\r\n3\r\nabc\r\n0\r\nE: g  h\r\n\r\n",
			close: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for how, src := range splits(tc.in) {
				got := forwardResponses(src, Forward{}, RequestInfo{})
				if diff := cmp.Diff([]message{{wire: tc.want}}, got, cmp.AllowUnexported(message{})); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", how, diff)
				}
			}
			p, err := readResponse(t, tc.in, RequestInfo{})
			if err != nil || p.KeepAlive == tc.close {
				t.Errorf("kept alive: %v, %v", p.KeepAlive, err)
			}
			if again := forwardResponses(strings.NewReader(tc.want), Forward{}, RequestInfo{}); len(again) != 1 || again[0] != (message{wire: tc.want}) {
				t.Errorf("what was forwarded is forwarded as %+v", again)
			}
		})
	}
}

// What is mended is mended wherever the source pauses, and nothing of what follows is lost.
func TestRule27_MendingGoesOnAfterATimeout(t *testing.T) {
	in := "HTTP/1.1 200 OK\nA : b\n c\nContent-Length: 2, 2\n\nhiHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
	src := &trickle{rest: []byte(in)}
	r := NewReader(src)
	var all bytes.Buffer
	for range 2 {
		var p Response
		var b Body
		for pauses := 0; ; pauses++ {
			src.left = 1
			err := r.ReadResponse(&p, RequestInfo{})
			if err == nil {
				break
			}
			if !errors.Is(err, errDry) || pauses > len(in) {
				t.Fatal(err)
			}
		}
		r.Body(&b, &p.Head)
		src.left = len(in)
		first, err := b.Ready()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.WriteResponse(&all, Forward{}, first); err != nil {
			t.Fatal(err)
		}
		if done := b.CopyTo(&all, Copying{}); done.Read != nil || done.Write != nil {
			t.Fatal(done)
		}
		r.Finish()
	}
	want := "HTTP/1.1 200 OK\r\nA: b c\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
	if all.String() != want {
		t.Errorf("got %q\nwant %q", all.String(), want)
	}
}

// The chunked coding is undone for clients that do not know it; the trailers go with it.
func TestRule29_ClientsOfHTTP10GetNoChunks(t *testing.T) {
	for name, tc := range map[string]struct {
		in, want string
		to       RequestInfo
	}{
		"chunked": {
			in:   "HTTP/1.1 200 OK\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n3;x\r\nabc\r\n0005\r\nhello\r\n0\r\nT: v\r\n\r\n",
			want: "HTTP/1.1 200 OK\r\nA: b\r\n\r\nabchello",
			to:   RequestInfo{HTTP10: true},
		},
		"empty": {
			in:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			want: "HTTP/1.1 200 OK\r\n\r\n",
			to:   RequestInfo{HTTP10: true},
		},
		"odd": {
			in:   "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 3\n\n3 \nabc\n0\n\n",
			want: "HTTP/1.1 200 OK\r\n\r\nabc",
			to:   RequestInfo{HTTP10: true},
		},
		"HEAD": {
			in:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			want: "HTTP/1.1 200 OK\r\n\r\n",
			to:   RequestInfo{HTTP10: true, Head: true},
		},
		"not chunked": {
			in:   "HTTP/1.1 200 OK\r\nTrailer: T\r\nContent-Length: 2\r\n\r\nhi",
			want: "HTTP/1.1 200 OK\r\nTrailer: T\r\nContent-Length: 2\r\n\r\nhi",
			to:   RequestInfo{HTTP10: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for how, src := range splits(tc.in) {
				got := forwardResponses(src, Forward{}, tc.to)
				if diff := cmp.Diff([]message{{wire: tc.want}}, got, cmp.AllowUnexported(message{})); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", how, diff)
				}
			}
		})
	}
	q, err := readRequest(t, "GET / HTTP/1.0\r\n\r\n")
	if err != nil || !q.Info().HTTP10 {
		t.Errorf("%v: the version is not asked for", err)
	}
}

// A chunked body that is cut off is noticed although nothing on the wire tells a client of HTTP/1.0.
func TestRule18_TruncationIsNoticedInMendedResponses(t *testing.T) {
	whole := "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3 \nabc\n0\nT: v\n w\n\n"
	for _, to := range []RequestInfo{{}, {HTTP10: true}} {
		for cut := 1; cut < len(whole); cut++ {
			got := forwardResponses(iotest.HalfReader(strings.NewReader(whole[:cut])), Forward{}, to)
			if len(got) != 1 || !errors.Is(got[0].err, io.ErrUnexpectedEOF) {
				t.Errorf("cut at %d: %+v", cut, got)
			}
		}
	}
}

func TestKeepAliveTimeouts(t *testing.T) {
	for fields, want := range map[string]struct {
		seconds int64
		ok      bool
	}{
		"":                          {},
		"Keep-Alive: timeout=5\r\n": {5, true},
		"keep-alive: max=100 , Timeout = \"7\" \r\n":                  {7, true},
		"Keep-Alive: max=100\r\n":                                     {},
		"Keep-Alive: timeout=\r\n":                                    {},
		"Keep-Alive: timeout=-5\r\n":                                  {},
		"Keep-Alive: timeout=5s\r\n":                                  {},
		"Keep-Alive: timeout=0\r\n":                                   {0, true},
		"Keep-Alive: 300\r\n":                                         {},
		"Keep-Alive: timeout=99999999999999999999\r\n":                {86400, true},
		"Keep-Alive: timeout=60\r\nA: b\r\nKeep-Alive: timeout=9\r\n": {9, true},
		"X-Keep-Alive: timeout=5\r\n":                                 {},
	} {
		p, err := readResponse(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+fields+"\r\n", RequestInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.KeepAliveTimeout(); ok != want.ok || int64(got.Seconds()) != want.seconds {
			t.Errorf("%q: %v, %v", fields, got, ok)
		}
	}
}
