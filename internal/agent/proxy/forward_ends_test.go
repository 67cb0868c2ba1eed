package proxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/agent/proxy/http1/http1test"
)

// forwarding is a proxy between clients and an upstream that have agreed on what they say.
type forwarding struct {
	t     *testing.T
	turns bool
	world *testProxy

	// immutable once the clients call
	talks map[string]*turn    // by id
	good  []http1test.Message // requests that the reader sees in what clients send

	turn sync.Mutex

	mu sync.Mutex // guards the talks' counts
}

// unanswered is what the upstream answers to requests that nobody has agreed on.
const unanswered = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"

// upstream reads requests as strictly as the reader does.
func (f *forwarding) upstream(n int, p *peer) {
	rng := rand.New(rand.NewPCG(uint64(n), 5))
	text, piece := "", make([]byte, 32<<10)
	early := false // the request that comes has been answered
	for {
		m, rest, err := http1test.ReadRequest(text)
		switch {
		case err == nil:
			if text = rest; !f.answer(p, &m, rng, early) {
				return
			}
			early = false
			continue
		case !errors.Is(err, http1test.ErrIncomplete):
			f.t.Errorf("the upstream is sent %q: %v", clip(text), err)
			return
		case !early:
			if k := f.early(text); k != nil {
				f.respond(p, k, rng)
				early = true
			}
		}
		k, err := p.r.Read(piece)
		if err != nil {
			return // in the midst of a request, that is seen
		}
		_ = p.SetReadDeadline(time.Time{})
		text += string(piece[:k])
	}
}

var idField = regexp.MustCompile(`\r\nX-Id: ([0-9a-f]{16})\r\n`)

// early returns the talk of which the head has come, if it is one that is answered then.
func (f *forwarding) early(text string) *turn {
	head, _, whole := strings.Cut(strings.TrimLeft(text, "\r\n"), "\r\n\r\n")
	id := idField.FindStringSubmatch(head + "\r\n")
	if !whole || id == nil || f.talks[id[1]] == nil || !f.talks[id[1]].early {
		return nil
	}
	return f.talks[id[1]]
}

// answer answers a request unless that is done, and reports whether another may follow.
func (f *forwarding) answer(p *peer, m *http1test.Message, rng *rand.Rand, early bool) bool {
	k := f.expected(m)
	switch {
	case k == nil || len(k.good) == 0 || k.asked.Method != m.Method:
		p.send(unanswered)
		return true
	case !early:
		f.respond(p, k, rng)
	}
	return !k.ends
}

// respond sends the answer of a talk.
func (f *forwarding) respond(p *peer, k *turn, rng *rand.Rand) {
	f.mu.Lock()
	k.begun = true
	f.mu.Unlock()
	writePieces(p, k.wire, rng, 4)
	p.delivered(f.t)
	k.once.Do(func() { close(k.sent) })
	if k.badly { // the proxy may wait for more of the response, or take the connection for good
		_ = p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	}
}

// expected checks that a request is what a client has sent, and returns the talk that it belongs to, if that is known.
func (f *forwarding) expected(m *http1test.Message) *turn {
	known := false
	for i := range f.good {
		known = known || cmp.Equal(comparable(f.good[i].Forwarded(http1test.Request{})), comparable(*m), cmpopts.EquateEmpty())
	}
	if !known {
		f.t.Errorf("the upstream is sent what no client asks for: %+v", m)
		return nil
	}
	ids := m.Values("x-id")
	if len(ids) != 1 || f.talks[ids[0]] == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.talks[ids[0]]
	switch k.came++; m.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
	default:
		if k.came > 1 && !k.badly {
			f.t.Errorf("%s %s comes to the upstream %d times", m.Method, m.Target, k.came)
		}
	}
	return k
}

// comparable leaves out what a proxy says about its own connection.
func comparable(m http1test.Message) http1test.Message {
	m, _ = m.StripConnection()
	return m
}

// turnClient is a client.
type turnClient struct {
	*forwarding
	rng *rand.Rand

	conn *client
	// text has come and is not read yet; the connection has ended behind it, or was cut there.
	text       string
	ended, cut bool
	used       bool // an answer has come
}

// run makes the calls, on one connection as far as it goes.
func (c *turnClient) run(talks []*turn) {
	for len(talks) > 0 && !c.t.Failed() {
		if c.turns {
			c.turn.Lock()
		}
		answered := c.group(talks)
		if c.turns {
			c.awaitUpstream(talks[0])
			c.turn.Unlock()
		}
		talks = talks[answered:]
	}
	c.leave()
}

// group makes calls without waiting for their answers, and returns how many are done with.
func (c *turnClient) group(talks []*turn) int {
	if c.conn == nil {
		c.conn, c.text, c.ended, c.cut, c.used = c.world.dial(), "", false, false, false
	}
	n := 1
	for !c.turns && n < len(talks) && !badRequest(talks[n-1]) && c.rng.IntN(3) > 0 {
		n++
	}
	var stream strings.Builder
	for _, k := range talks[:n] {
		stream.WriteString(k.request)
	}
	bad := badRequest(talks[n-1])
	conn, over := c.conn, make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		rng, all := rand.New(rand.NewPCG(uint64(len(talks)), 3)), stream.String()
		if talks[0].early {
			writePieces(conn, all[:len(all)-1], rng, 5)
			select {
			case <-talks[0].sent:
			case <-over: // a kept connection may have ended before
			}
			all = all[len(all)-1:]
		}
		if talks[0].leaves {
			return
		}
		writePieces(conn, all, rng, 5)
		if bad {
			_ = conn.CloseWrite() // it may want more of the request
		}
	})
	answered := 0
	for _, k := range talks[:n] {
		if c.t.Failed() || !c.answered(k, c.used) {
			break
		}
		answered++
		c.used = true
	}
	close(over)
	wg.Wait()
	switch {
	case talks[0].leaves:
		_ = conn.Close()
		c.conn = nil
	case bad || c.ended || c.t.Failed():
		c.leave()
	}
	return answered
}

func badRequest(k *turn) bool { return k.badly && len(k.plain) > 0 }

// awaitUpstream waits until the upstream has said all that it has to say in answer to a talk.
func (c *turnClient) awaitUpstream(k *turn) {
	c.mu.Lock()
	begun := k.begun
	c.mu.Unlock()
	if begun {
		<-k.sent // it says so whatever becomes of the connection
	}
}

// answered reads the responses to a talk, and reports whether there was an end to them. After others on the connection there may be none.
func (c *turnClient) answered(k *turn, after bool) bool {
	asked := k.good
	if !badRequest(k) {
		asked = asked[:1]
	}
	plain := k.plain
	for i := range asked {
		for final := false; !final; {
			got, ok := c.response(asked[i].Asked(), k)
			switch {
			case !ok && c.cut && k.badly, !ok && k.badly && i > 0:
				return true
			case !ok && after && c.text == "":
				return false // the connection has ended behind the answer before, as a kept one may at any time
			case !ok:
				c.t.Errorf("no whole answer to %q, but %q", k.request, clip(c.text))
				return true
			case !k.badly:
				plain = c.compare(k, plain, &got)
			}
			final = got.Final()
		}
	}
	if badRequest(k) {
		c.refused()
	}
	return true
}

// refused reads what may follow the answers to the good requests of a bad stream: an answer of the proxy's own, without content if it is
// taken to be one to HEAD.
func (c *turnClient) refused() {
	for _, method := range []string{"GET", "HEAD"} {
		if m, ok := c.response(http1test.Request{Method: method, Minor: 1}, nil); ok {
			if len(m.Values("fairlead-reason")) == 0 {
				c.t.Errorf("unasked: %+v", m)
			}
			return
		}
	}
}

// compare checks a response to a talk that keeps to the rules, and returns what means the rest of its responses.
func (c *turnClient) compare(k *turn, plain []string, got *http1test.Message) []string {
	to := k.asked.Asked()
	for len(plain) > 0 {
		reading := to
		reading.Minor = 1
		want, _, err := http1test.ReadResponse(plain[0], reading, true)
		if err != nil {
			c.t.Errorf("%v: %q", err, plain[0])
		}
		if plain = plain[1:]; to.Minor == 0 && !want.Final() {
			continue // of which HTTP/1.0 knows nothing
		}
		want = want.Forwarded(to)
		if to.Minor == 0 { // Trailer goes with the chunked coding, also with one that has no place in the response
			want.Fields, got.Fields = withoutTrailer(want.Fields), withoutTrailer(got.Fields)
		}
		if diff := cmp.Diff(comparable(want), comparable(*got), cmpopts.EquateEmpty()); diff != "" {
			c.t.Errorf("the answer to %q (-want +got)\n%s", k.request, diff)
		}
		return plain
	}
	c.t.Errorf("unasked: %+v", got)
	return nil
}

func withoutTrailer(fields []http1test.Field) []http1test.Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f http1test.Field) bool { return strings.EqualFold(f.Name, "trailer") })
}

// response reads one response. It must be one that the reader understands, and have the talk's id or none that is known.
func (c *turnClient) response(to http1test.Request, k *turn) (m http1test.Message, ok bool) {
	for {
		m, rest, err := http1test.ReadResponse(c.text, to, c.ended && !c.cut)
		switch {
		case err == nil:
			c.text = rest
			c.ownId(&m, k)
			return m, true
		case !errors.Is(err, http1test.ErrIncomplete):
			c.t.Errorf("the client is sent %q: %v", clip(c.text), err)
			return m, false
		case c.ended:
			return m, false
		}
		c.more()
	}
}

func (c *turnClient) ownId(m *http1test.Message, k *turn) {
	for _, id := range m.Values("x-id") {
		if id == "unasked" || c.talks[id] != nil && (k == nil || c.talks[id] != k) {
			c.t.Errorf("the answer with the id %s comes to a client that asked with another", id)
		}
	}
}

// more waits for bytes, or for the end.
func (c *turnClient) more() {
	piece := make([]byte, 32<<10)
	n, err := c.conn.Read(piece)
	c.text += string(piece[:n])
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Errorf("nothing comes behind %q", clip(c.text))
	}
	c.ended = err != nil
	c.cut = c.ended && !errors.Is(err, io.EOF)
}

// leave ends the connection, on which nothing more may come.
func (c *turnClient) leave() {
	if c.conn == nil {
		return
	}
	_ = c.conn.CloseWrite()
	for !c.ended && !c.t.Failed() {
		c.more()
	}
	if c.text != "" && !c.cut && !c.t.Failed() {
		c.t.Errorf("unasked: %q", clip(c.text))
	}
	_ = c.conn.Close()
	c.conn = nil
}
