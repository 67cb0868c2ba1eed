package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/http1/http1test"
	"fairlead.dev/fairlead/internal/policy"
)

// The tests of this file send exchanges through a proxy, over sockets, and compare both ends with what a strict reader makes of them: nothing
// reaches the upstream that the reader would not see in what a client sent, and nothing reaches a client that its request did not ask
// for. The codec has the same tests without sockets, pools and sessions.

func TestRule27_TheProxyAgreesWithAStrictReader(t *testing.T) {
	seeds := 80
	if testing.Short() || raceEnabled {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		for _, turns := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d/%t", seed, turns), func(t *testing.T) { checkProxy(t, seed, turns) })
			if t.Failed() {
				return
			}
		}
	}
}

// FuzzProxy explores what the property test samples.
func FuzzProxy(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed, seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, turns bool) { checkProxy(t, seed, turns) })
}

// checkProxy lets several clients of one pool make the calls that a seed brings forth. In turns they make one call at a time, and
// the upstream says all that it has to say before the next one begins; only then is it certain that what it says unasked, or in a broken
// response, belongs to no later request. Otherwise they call at the same time, several calls on a connection.
func checkProxy(t *testing.T, seed uint64, turns bool) {
	g := http1test.Generator{Rand: rand.New(rand.NewPCG(seed, 29))}
	f := &forwarding{t: t, turns: turns, talks: map[string]*turn{}}
	clients := make([][]*turn, 1+g.IntN(4))
	for i := range clients {
		for n := 1 + g.IntN(5); n > 0; n-- {
			clients[i] = append(clients[i], f.newTurn(g, n == 1))
		}
	}
	f.world = build(t, serve(t, f.upstream), toAny(func(s *policy.Settings) {
		s.Retry.On, s.Pool.MaxConnections, s.Pool.PendingTimeout = 0, g.IntN(3), patience
	}))
	var wg sync.WaitGroup
	for _, talks := range clients {
		c := &turnClient{forwarding: f, rng: rand.New(rand.NewPCG(g.Uint64(), 1))}
		wg.Go(func() { c.run(talks) })
	}
	wg.Wait()
}

// turn is one exchange: what a client sends, and what the upstream answers to it.
type turn struct {
	id      string // in the field X-Id of the request and of its responses
	request string
	// asked is what the reader sees in request, and good what it sees there at all.
	asked http1test.Message
	good  []http1test.Message
	// badly: the request, or the answer, breaks the rules; either may be refused.
	badly bool
	wire  string        // what the upstream sends
	plain []string      // what that means; empty when it breaks the rules
	ends  bool          // with its connection
	sent  chan struct{} // closed when it has
	// early: the upstream answers before it has the whole request. The client waits for that to send the end of it, unless it leaves then.
	early, leaves bool

	once sync.Once // closes sent

	// guarded by the forwarding's mu
	came  int  // how often it came to the upstream
	begun bool // the answer
}

// unasked is what the upstream says without having been asked.
const unasked = "HTTP/1.1 200 OK\r\nX-Id: unasked\r\nContent-Length: 7\r\n\r\nunasked"

// newTurn makes an exchange. last says that nothing follows on the client's connection.
func (f *forwarding) newTurn(g http1test.Generator, last bool) *turn {
	x := g.Exchange(last)
	k := &turn{id: fmt.Sprintf("%016x", g.Uint64()), ends: x.Ends, sent: make(chan struct{})}
	k.request = tagged(x.Request, k.id)
	odd := g.IntN(2) == 0
	if strings.HasPrefix(x.Request, "GET ") && g.IntN(8) == 0 {
		x.Responses = []string{answer(200, strings.Repeat("x", 100<<10))}
		odd, k.ends = false, false
	}
	for i, s := range x.Responses {
		k.plain = append(k.plain, tagged(s, k.id))
		if odd {
			s = x.Odd[i]
		}
		k.wire += tagged(s, k.id)
	}
	switch g.IntN(8) {
	case 0:
		k.request, k.badly = g.Mutate(k.request), true
	case 1:
		if f.turns {
			k.wire, k.badly, k.plain = g.Mutate(k.wire), true, nil
		}
	case 2, 3, 4:
		if f.turns && !k.ends {
			k.wire += unasked
		}
	}
	f.read(k)
	k.early = f.turns && !k.badly && (k.asked.Body != "" || k.asked.Chunked) && g.IntN(3) == 0
	k.leaves = k.early && !k.ends && k.asked.Minor == 1 && g.IntN(3) == 0 // else it would wait for the end of the answer
	f.talks[k.id] = k
	return k
}

// tagged puts the id into the head of a message.
func tagged(message, id string) string {
	start := strings.Index(message, "HTTP/1.")
	end := start + strings.IndexByte(message[start:], '\n') + 1
	return message[:end] + "X-Id: " + id + "\r\n" + message[end:]
}

// read notes what the reader sees in a talk's request.
func (f *forwarding) read(k *turn) {
	for rest := k.request; ; {
		m, next, err := http1test.ReadRequest(rest)
		if err != nil {
			break
		}
		k.good, rest = append(k.good, m), next
	}
	if len(k.good) > 0 {
		k.asked = k.good[0]
	}
	if !k.badly && len(k.good) != 1 {
		f.t.Fatalf("the reader sees %d requests in %q", len(k.good), k.request)
	}
	f.good = append(f.good, k.good...)
}
