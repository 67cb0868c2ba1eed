package soak

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strconv"
	"time"
)

const (
	callField    = "Soak-Call"
	attemptField = "Soak-Attempt"
	keyField     = "Idempotency-Key"
	standInField = "Soak-Fallback"
	markField    = "Fairlead-Attempt"
	ruleField    = "Soak-Rule"
)

// patience is how long a call may take that nothing bounds.
const patience = 60 * time.Second

// client makes the calls of one process of a pod.
type client struct {
	round *round
	pod   int
	http2 bool
	url   string
	http  *http.Transport
	rng   *rand.Rand
}

func newClient(r *round, pod int, http2 bool, rng *rand.Rand) *client {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2 && !r.trust.intercepts())
	protocols.SetHTTP2(http2 && r.trust.intercepts())
	c := &client{round: r, pod: pod, http2: http2, rng: rng, url: "http://" + host + "/c"}
	c.http = &http.Transport{Protocols: &protocols, DialContext: c.dial, DisableCompression: true, DisableKeepAlives: !http2 && rng.IntN(4) == 0}
	if r.trust.intercepts() {
		c.url, c.http.TLSClientConfig = "https://"+host+"/c", &tls.Config{RootCAs: r.trust.egress.Pool()}
	}
	return c
}

// dial connects to the agent, as if the connection had been captured.
func (c *client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.round.pods[c.pod].listener.at.String())
	if err != nil {
		return nil, err
	}
	own := conn.LocalAddr().(*net.TCPAddr).AddrPort()
	c.round.ends.Store(own, true)
	return &clientConn{TCPConn: conn.(*net.TCPConn), round: c.round, own: own}, nil
}

// clientConn keeps account of which ends of clients are open.
type clientConn struct {
	*net.TCPConn
	round *round
	own   netip.AddrPort
}

// Close implements net.Conn.
func (c *clientConn) Close() error {
	c.round.ends.Store(c.own, false)
	return c.TCPConn.Close()
}

// run makes calls until stop is closed.
func (c *client) run(stop <-chan struct{}) {
	defer c.http.CloseIdleConnections()
	for {
		select {
		case <-stop:
			return
		default:
		}
		a := c.round.newAccount(c, c.rng)
		c.call(a)
		if a.reason != "" {
			time.Sleep(time.Millisecond) // one that was refused at once, as a loop of a program is that does so
		}
		if c.rng.IntN(8) == 0 {
			time.Sleep(time.Duration(c.rng.IntN(20)) * time.Millisecond) // a client that thinks
		}
	}
}

// call makes one call and keeps its account.
func (c *client) call(a *account) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if a.leaves > 0 {
		ctx, cancel = context.WithTimeout(ctx, a.leaves)
		defer cancel()
	}
	a.answer = -1
	if a.opaque {
		c.pass(ctx, a)
		return
	}
	q, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, a.trace()), a.method, c.url, nil)
	if err != nil {
		a.err = err
		return
	}
	if a.size > 0 {
		q.Body, q.ContentLength = io.NopCloser(&bodyReader{a: a, pause: c.rng.IntN(10) == 0 && !c.round.narrow()}), int64(a.size)
		if c.rng.IntN(3) == 0 {
			q.ContentLength, a.chunked = -1, !a.http2
		}
	}
	if a.rpc {
		a.makeRPC(q)
	}
	q.Header.Set(callField, strconv.Itoa(a.id))
	if a.key != "" {
		q.Header.Set(keyField, a.key)
	}
	if a.ruled {
		q.Header.Set(ruleField, "on")
	}
	if a.marked {
		q.Header.Set(markField, "2")
	}
	a.begun = time.Now()
	res, err := c.http.RoundTrip(q)
	if err == nil {
		c.take(a, res)
	}
	a.err = errors.Join(a.err, err)
	a.ended = time.Now()
}

func (a *account) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.sends++
			a.reused = i.Reused
		},
		WroteHeaders: func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.sent = time.Now()
		},
	}
}

// take reads a response.
func (c *client) take(a *account, res *http.Response) {
	a.head, a.status, a.reason = time.Now(), res.StatusCode, res.Header.Get("Fairlead-Reason")
	defer res.Body.Close()
	if reason := res.Header.Get(standInField); reason != "" {
		a.reason, a.stoodIn = reason, true
	}
	if a.reason != "" {
		var text []byte
		text, a.err = io.ReadAll(res.Body)
		a.whole = a.err == nil
		if a.stoodIn && a.whole && !a.rpc && a.method != http.MethodHead && string(text) != standIn.Body {
			a.wrong = "the fallback has another body"
		}
		a.code, _ = strconv.Atoi(res.Header.Get(statusField))
		return
	}
	n, err := strconv.Atoi(res.Header.Get(attemptField))
	if err != nil {
		a.wrong = "the response is not one of a server's"
		return
	}
	if a.answer = n; n == backupAttempt {
		a.answer, a.backup = -1, true
	}
	if a.rpc {
		c.takeRPC(a, res, n)
		return
	}
	c.body(a, res.Body, n)
}

func (c *client) body(a *account, body io.Reader, attempt int) {
	slow := c.rng.IntN(10) == 0 && !c.round.narrow()
	b := make([]byte, 1+c.rng.IntN(32<<10))
	if slow {
		b = make([]byte, 512+c.rng.IntN(32<<10))
	}
	for {
		n, err := body.Read(b)
		if !matches(b[:n], a.id, attempt, a.got) {
			a.wrong = "the response's body has other bytes than the server sent"
			return
		}
		a.got += n
		if err != nil {
			a.whole = err == io.EOF
			if !a.whole {
				a.err = err
			}
			return
		}
		if slow {
			time.Sleep(time.Millisecond) // a slow reader
		}
	}
}

// bodyReader is the body of a request.
type bodyReader struct {
	a     *account
	at    int
	pause bool
}

// Read implements io.Reader.
func (r *bodyReader) Read(b []byte) (int, error) {
	if r.at == r.a.size {
		return 0, io.EOF
	}
	if r.pause {
		time.Sleep(time.Millisecond) // a slow sender
	}
	n := min(len(b), r.a.size-r.at, 8<<10)
	fill(b[:n], r.a.id, -1, r.at)
	r.at += n
	return n, nil
}

// constant is for clients that draw nothing that matters.
func constant() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
