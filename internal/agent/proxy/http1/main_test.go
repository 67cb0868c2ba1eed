package http1

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pieces hands out its bytes in pieces of random size, as a network does.
type pieces struct {
	rest []byte
	rng  *rand.Rand
	max  int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := min(1+p.rng.IntN(p.max), len(p.rest), len(b))
	copy(b, p.rest[:n])
	p.rest = p.rest[n:]
	return n, nil
}

// splits returns readers of s that cut it in different ways.
func splits(s string) map[string]io.Reader {
	return map[string]io.Reader{
		"whole":          strings.NewReader(s),
		"byte by byte":   iotest.OneByteReader(strings.NewReader(s)),
		"halves":         iotest.HalfReader(strings.NewReader(s)),
		"small pieces":   &pieces{[]byte(s), rand.New(rand.NewPCG(1, 2)), 7},
		"larger pieces":  &pieces{[]byte(s), rand.New(rand.NewPCG(3, 4)), 900},
		"data with EOF":  iotest.DataErrReader(strings.NewReader(s)),
		"one then whole": io.MultiReader(strings.NewReader(s[:min(1, len(s))]), strings.NewReader(s[min(1, len(s)):])),
	}
}

// message is what became of one message.
type message struct {
	wire string // head and body as forwarded
	err  error
}

// forwardRequests reads requests until an error and forwards each like a driver does.
func forwardRequests(src io.Reader, f Forward) (all []message) {
	r := NewReader(src)
	defer r.Close()
	for {
		var (
			q   Request
			b   Body
			out bytes.Buffer
		)
		err := r.ReadRequest(&q)
		if err == nil {
			r.Body(&b, &q.Head)
			err = forwardBody(&b, func(first []byte) error {
				_, err := q.WriteRequest(&out, f, first)
				return err
			}, &out)
		}
		if err == io.EOF {
			return all
		}
		all = append(all, message{out.String(), err})
		if err != nil {
			return all
		}
		r.Finish()
	}
}

func forwardBody(b *Body, writeHead func(first []byte) error, out io.Writer) error {
	first, err := b.Ready()
	if err != nil {
		return err
	}
	if err := writeHead(first); err != nil {
		return err
	}
	done := b.CopyTo(out, Copying{})
	return errors.Join(done.Read, done.Write)
}

// forwardResponses reads responses to the requests asked for, interim ones included, and forwards each.
func forwardResponses(src io.Reader, f Forward, to ...RequestInfo) (all []message) {
	r := NewReader(src)
	defer r.Close()
	for len(to) > 0 {
		var (
			p   Response
			b   Body
			out bytes.Buffer
		)
		err := r.ReadResponse(&p, to[0])
		if err == nil {
			r.Body(&b, &p.Head)
			err = forwardBody(&b, func(first []byte) error {
				_, err := p.WriteResponse(&out, f, first)
				return err
			}, &out)
		}
		all = append(all, message{out.String(), err})
		if err != nil {
			return all
		}
		if !p.Interim() {
			to = to[1:]
		}
		r.Finish()
	}
	return all
}

// readRequest parses one request that arrives in one piece.
func readRequest(t testing.TB, s string) (*Request, error) {
	t.Helper()
	r := NewReader(strings.NewReader(s))
	q := new(Request)
	return q, r.ReadRequest(q)
}

func readResponse(t testing.TB, s string, to RequestInfo) (*Response, error) {
	t.Helper()
	r := NewReader(strings.NewReader(s))
	p := new(Response)
	return p, r.ReadResponse(p, to)
}

// transported is a socket that can be spliced from and to.
type transported struct {
	*net.TCPConn
	conn *transport.Conn
}

func (t transported) Transport() *transport.Conn { return t.conn }

// tcpPair returns the two ends of a connection on loopback.
func tcpPair(t testing.TB) (dialled, accepted transported) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	dialled.TCPConn, accepted.TCPConn = d, a
	for _, c := range []*transported{&dialled, &accepted} {
		t.Cleanup(func() { _ = c.Close() })
		if c.conn, err = transport.New(c.TCPConn); err != nil {
			t.Fatal(err)
		}
	}
	return dialled, accepted
}
