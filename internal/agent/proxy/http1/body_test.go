package http1

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// tap keeps what it sees until it has had enough.
type tap struct {
	got    []byte
	enough int
}

func (p *tap) Append(b []byte) bool {
	p.got = append(p.got, b...)
	return p.enough == 0 || len(p.got) < p.enough
}

// Whatever a message is made of, it is forwarded the same however its bytes are split, also when others follow at once.
func TestRule29_AnySplitOfRequests(t *testing.T) {
	messages := []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\r\n\r",
		"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00a;x=\"y z\"\r\n0123456789\r\n0;last\r\nA: b\r\nExpires: never\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n1;\tx\r\n\n\r\n0\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4E20\r\n" + strings.Repeat("ab", 10000) + "\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("0123456", 10000),
		"GET /" + strings.Repeat("long", 2000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
	}
	for _, seed := range []uint64{1, 2, 3, 4} {
		rng := newRand(seed)
		var want []message
		for range 40 {
			want = append(want, message{wire: messages[rng.IntN(len(messages))]})
		}
		var all strings.Builder
		for _, m := range want {
			all.WriteString(m.wire)
		}
		readers := splits(all.String())
		for _, most := range []int{2, 3, 50, 5000} {
			readers["random "+strconv.Itoa(most)] = &pieces{[]byte(all.String()), rng, most}
		}
		for how, src := range readers {
			if diff := cmp.Diff(want, forwardRequests(src, Forward{}), cmp.AllowUnexported(message{})); diff != "" {
				t.Errorf("seed %d, %s: (-want +got)\n%s", seed, how, diff)
			}
		}
	}
}

func TestRule29_AnySplitOfResponses(t *testing.T) {
	get, head := RequestInfo{}, RequestInfo{Head: true}
	type exchange struct {
		to   RequestInfo
		want []string
	}
	exchanges := []exchange{
		{get, []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}},
		{head, []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}},
		{head, []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}},
		{head, []string{"HTTP/1.1 200 OK\r\n\r\n"}},
		{get, []string{"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"}},
		{get, []string{"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n"}},
		{get, []string{"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"}},
		{get, []string{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"}},
		{get, []string{"HTTP/1.1 500 Oh no\r\nContent-Length: 0\r\n\r\n"}},
		{get, []string{"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"}},
		{get, []string{"HTTP/1.1 999 Odd\r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n0\r\nT: v\r\n\r\n"}},
	}
	last := exchange{get, []string{"HTTP/1.1 200 OK\r\nX: until close\r\n\r\n" + strings.Repeat("data", 30000)}}
	for _, seed := range []uint64{1, 2, 3, 4} {
		rng := newRand(seed)
		var (
			to   []RequestInfo
			want []message
			all  string
		)
		for i := range 40 {
			e := exchanges[rng.IntN(len(exchanges))]
			if i == 39 {
				e = last
			}
			to = append(to, e.to)
			for _, s := range e.want {
				want = append(want, message{wire: s})
				all += s
			}
		}
		readers := splits(all)
		readers["random"] = &pieces{[]byte(all), rng, 300}
		for how, src := range readers {
			if diff := cmp.Diff(want, forwardResponses(src, Forward{}, to...), cmp.AllowUnexported(message{})); diff != "" {
				t.Errorf("seed %d, %s: (-want +got)\n%s", seed, how, diff)
			}
		}
	}
}

// A message that is cut off is never taken for complete.
func TestRule18_TruncationIsNoticed(t *testing.T) {
	for _, whole := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n",
	} {
		for cut := 1; cut < len(whole); cut++ {
			got := forwardRequests(strings.NewReader(whole[:cut]), Forward{})
			if len(got) != 1 || !errors.Is(got[0].err, io.ErrUnexpectedEOF) {
				t.Errorf("cut at %d: %+v", cut, got)
			}
		}
	}
}

func TestTapsSeeExactlyWhatIsSent(t *testing.T) {
	body := "5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n"
	for how, src := range splits("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "GET / HTTP/1.1\r\n") {
		r := NewReader(src)
		var (
			q    Request
			b    Body
			out  bytes.Buffer
			seen tap
		)
		if err := r.ReadRequest(&q); err != nil {
			t.Fatal(err)
		}
		r.Body(&b, &q.Head)
		moves := 0
		done := b.CopyTo(&out, Copying{Tap: &seen, Progress: func() { moves++ }})
		if done != (Copied{Bytes: int64(len(body))}) || string(seen.got) != body || out.String() != body {
			t.Errorf("%s: %+v, seen %q, sent %q", how, done, seen.got, out.String())
		}
		if !b.Done() || b.Bytes != int64(len(body)) || moves == 0 {
			t.Errorf("%s: done %v, %d bytes, %d moves", how, b.Done(), b.Bytes, moves)
		}
	}
}

func TestTapsThatHaveHadEnoughAreLeftAlone(t *testing.T) {
	r := NewReader(&pieces{[]byte("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000)), newRand(1), 10})
	var (
		q    Request
		b    Body
		out  bytes.Buffer
		seen = tap{enough: 100}
	)
	if err := r.ReadRequest(&q); err != nil {
		t.Fatal(err)
	}
	r.Body(&b, &q.Head)
	if done := b.CopyTo(&out, Copying{Tap: &seen}); done.Bytes != 1000 || len(seen.got) < 100 || len(seen.got) > 110 {
		t.Errorf("%+v, seen %d", done, len(seen.got))
	}
}

func TestCopyTellsTheSidesApart(t *testing.T) {
	const head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
	r := NewReader(strings.NewReader(head + "short"))
	var q Request
	var b Body
	if err := r.ReadRequest(&q); err != nil {
		t.Fatal(err)
	}
	r.Body(&b, &q.Head)
	if done := b.CopyTo(io.Discard, Copying{}); done.Bytes != 5 || done.Write != nil || !errors.Is(done.Read, io.ErrUnexpectedEOF) {
		t.Errorf("%+v", done)
	}
	r = NewReader(strings.NewReader(head + strings.Repeat("x", 1000)))
	if err := r.ReadRequest(&q); err != nil {
		t.Fatal(err)
	}
	r.Body(&b, &q.Head)
	if done := b.CopyTo(&limitedWriter{400}, Copying{}); done != (Copied{Bytes: 400, Write: errFull}) {
		t.Errorf("%+v", done)
	}
}
