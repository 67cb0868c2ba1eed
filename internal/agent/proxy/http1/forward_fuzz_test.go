package http1

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/agent/proxy/http1/http1test"
)

// The tests of this file compare what is forwarded with what a strict reader, written independently from the text of RFC 9112,
// makes of the same bytes: nothing reaches the upstream that the reader would not see, and nothing reaches a client that its
// request did not ask for.

// how says where the bytes of a case come from, and so what must become of them.
type how uint8

const (
	byTheBook how = iota // everything is forwarded
	oddly                // responses break rules without a doubt about their meaning: everything is forwarded, mended
	mutated              // anything may be refused
)

func TestRule27_ForwardingAgreesWithAStrictReader(t *testing.T) {
	cases := 3500
	if testing.Short() || raceEnabled {
		cases = 400
	}
	for seed := range uint64(cases) {
		for _, h := range []how{byTheBook, oddly, mutated} {
			checkForwarding(t, seed, h)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzForwarding explores what the property test samples: mutations of generated exchanges.
func FuzzForwarding(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(seed%3))
	}
	f.Fuzz(func(t *testing.T, seed uint64, kind uint8) { checkForwarding(t, seed, how(kind%3)) })
}

// FuzzForwardedRequests and FuzzForwardedResponses let the bytes themselves be chosen.
func FuzzForwardedRequests(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, split uint64) { checkRequests(t, string(in), newRand(split), mutated) })
}

func FuzzForwardedResponses(f *testing.F) {
	for seed := range uint64(40) {
		g := http1test.Generator{Rand: newRand(seed)}
		x := g.Exchange(true)
		f.Add([]byte(x.Request), []byte(strings.Join(x.Odd, "")), seed)
	}
	f.Fuzz(func(t *testing.T, request, responses []byte, split uint64) {
		_, rest, err := http1test.ReadRequest(string(request))
		if _, refused := readRequest(t, string(request)); err != nil || rest != "" || refused != nil {
			return
		}
		checkResponses(t, []string{string(request)}, nil, string(responses), newRand(split), mutated)
	})
}

// checkForwarding makes a connection's exchanges out of a seed and checks both directions.
func checkForwarding(t *testing.T, seed uint64, h how) {
	t.Helper()
	g := http1test.Generator{Rand: rand.New(rand.NewPCG(seed, uint64(h)))}
	var requests, plain, wire []string
	for i, n := 0, 1+g.IntN(4); i < n; i++ {
		x := g.Exchange(i == n-1)
		requests = append(requests, x.Request)
		plain = append(plain, x.Responses...)
		if h == byTheBook {
			wire = append(wire, x.Responses...)
		} else {
			wire = append(wire, x.Odd...)
		}
	}
	up, down := strings.Join(requests, ""), strings.Join(wire, "")
	if h == mutated {
		up, down, plain = g.Mutate(up), g.Mutate(down), nil
	}
	checkRequests(t, up, g.Rand, h)
	checkResponses(t, requests, plain, down, g.Rand, h)
}

// checkRequests forwards what a client sends.
func checkRequests(t *testing.T, in string, rng *rand.Rand, h how) {
	t.Helper()
	rest := in
	for i, m := range forwardRequests(&pieces{[]byte(in), rng, 1 + rng.IntN(200)}, Forward{}) {
		want, next, err := http1test.ReadRequest(rest)
		got, left, readErr := http1test.ReadRequest(m.wire)
		switch {
		case m.err == nil && err != nil:
			t.Fatalf("request %d is forwarded, the reader says %v\nread      %q\nforwarded %q", i, err, rest, m.wire)
		case m.err == nil && (readErr != nil || left != ""):
			t.Fatalf("request %d as forwarded: %v, %q is left\nread      %q\nforwarded %q", i, readErr, left, rest, m.wire)
		case m.err == nil:
			compareForwarded(t, want.Forwarded(http1test.Request{}), got, rest, m.wire)
			rest = next
			continue
		case h != mutated:
			t.Fatalf("request %d: %v\nread %q", i, m.err, rest)
		case err == nil && !stricter(m.err, rest):
			t.Fatalf("request %d: %v, but the reader accepts it\nread %q", i, m.err, rest)
		case m.wire != "" && !errors.Is(readErr, http1test.ErrIncomplete):
			t.Fatalf("request %d: %v, but what was forwarded of it is complete or bad (%v)\nread      %q\nforwarded %q", i, m.err, readErr, rest, m.wire)
		}
		return
	}
	if strings.Trim(rest, "\r\n") != "" {
		t.Fatalf("not forwarded: %q", rest)
	}
}

// stricter reports whether we may refuse what the reader accepts.
func stricter(err error, in string) bool {
	return errors.Is(err, ErrSwitch) || // of a switch to h2c the reader knows nothing
		strings.HasPrefix(in, "\r\n\r\n\r\n") && (errors.Is(err, ErrRequestLine) || errors.Is(err, ErrStatusLine))
}

// compareForwarded compares messages as the reader understands them.
func compareForwarded(t *testing.T, want, got http1test.Message, read, forwarded string) {
	t.Helper()
	got, options := got.StripConnection()
	want, _ = want.StripConnection()
	for _, o := range options {
		switch o {
		case "close", "keep-alive", "Upgrade", "TE":
		default:
			t.Fatalf("the connection option %q is forwarded\nread      %q\nforwarded %q", o, read, forwarded)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("(-want +got)\n%s\nread      %q\nforwarded %q", diff, read, forwarded)
	}
}

// delivered is what a client has got for its requests.
type delivered struct {
	wire     string
	complete int   // final responses forwarded to their end
	err      error // what ended it before its time
}

// serveAll forwards the responses in wire to the requests, as long as both connections last.
func serveAll(t *testing.T, requests []string, wire string, rng *rand.Rand) (d delivered) {
	t.Helper()
	var client bytes.Buffer
	r := NewReader(&pieces{[]byte(wire), rng, 1 + rng.IntN(200)})
	defer r.Close()
	defer func() { d.wire = client.String() }()
	for _, s := range requests {
		q, err := readRequest(t, s)
		if err != nil {
			t.Fatalf("%v: %q", err, s)
		}
		var p Response
		for {
			if d.err = r.ReadResponse(&p, q.Info()); d.err != nil {
				return d
			}
			if !p.Interim() {
				break
			}
			if q.Minor == 1 {
				_, _ = p.WriteResponse(&client, Forward{}, nil)
			}
			r.Finish()
		}
		keep, say := p.Persistence(q, false)
		var b Body
		r.Body(&b, &p.Head)
		d.err = forwardBody(&b, func(first []byte) error {
			_, err := p.WriteResponse(&client, Forward{ConnOption: say}, first)
			return err
		}, &client)
		if d.err != nil {
			return d
		}
		d.complete++
		if !keep || !p.KeepAlive {
			return d
		}
		r.Finish()
	}
	return d
}

// checkResponses forwards what an upstream sends as the answer to good requests. plain holds what it means, if that is known.
func checkResponses(t *testing.T, requests, plain []string, wire string, rng *rand.Rand, h how) {
	t.Helper()
	d := serveAll(t, requests, wire, rng)
	if d.err != nil && h != mutated {
		t.Fatalf("%v\nread      %q\nforwarded %q", d.err, wire, d.wire)
	}
	rest := d.wire
	known := h != oddly // the reader can follow what the upstream sent
	upstream := wire
	for i, s := range requests {
		asked, _, err := http1test.ReadRequest(s)
		if err != nil {
			t.Fatalf("%v: %q", err, s)
		}
		to := asked.Asked()
		for final := false; !final; {
			if i == d.complete && rest == "" {
				if known && d.err != nil && !errors.Is(d.err, io.EOF) {
					checkRefusal(t, d.err, upstream, to)
				}
				return
			}
			if len(plain) > 0 && h == oddly {
				upstream, plain = plain[0], plain[1:]
			}
			got, left, err := http1test.ReadResponse(rest, to, d.err == nil)
			if i == d.complete && errors.Is(err, http1test.ErrIncomplete) {
				return // cut off, and seen to be
			}
			if err != nil || i >= d.complete && got.Final() {
				t.Fatalf("response %d of %d: %v\nread      %q\nforwarded %q", i, d.complete, err, wire, rest)
			}
			want, next, err := readUpstream(upstream, to)
			for err == nil && !want.Final() && to.Minor == 0 {
				if upstream = next; h == oddly {
					upstream, plain = plain[0], plain[1:]
				}
				want, next, err = readUpstream(upstream, to)
			}
			if known = known && err == nil; known || h == oddly {
				compareForwarded(t, want.Forwarded(to), got, upstream, rest)
				upstream = next
			}
			rest, final = left, got.Final()
		}
		if i+1 == d.complete && d.err == nil {
			break
		}
	}
	if rest != "" {
		t.Fatalf("unasked: %q\nread      %q\nforwarded %q", rest, wire, d.wire)
	}
}

// readUpstream reads a response as the proxy, which knows the chunked coding even if its client does not.
func readUpstream(s string, to http1test.Request) (http1test.Message, string, error) {
	to.Minor = 1
	return http1test.ReadResponse(s, to, true)
}

// checkRefusal sees to it that a response that the reader accepts is not refused.
func checkRefusal(t *testing.T, refusal error, upstream string, to http1test.Request) {
	t.Helper()
	for {
		m, next, err := readUpstream(upstream, to)
		if err != nil {
			return
		}
		if m.Final() || to.Minor == 1 {
			if !stricter(refusal, upstream) {
				t.Fatalf("%v, but the reader accepts it\nread %q", refusal, upstream)
			}
			return
		}
		upstream = next
	}
}
