package proxy

import (
	"io"
	"testing"
	"time"
)

// greeting is how a MySQL server begins, and login how its client answers: neither is text, and the client says nothing before.
const greeting, login = "\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00", "\x05\x00\x00\x01\x85\xa6\xff\x01\x00"

// greets is a server that speaks first.
func greets(_ int, p *peer) {
	p.send(greeting)
	_, _ = io.Copy(p, p.r)
}

func (c *client) expect(words string) {
	c.t.Helper()
	got := make([]byte, len(words))
	if _, err := io.ReadFull(c.r, got); err != nil || string(got) != words {
		c.t.Fatalf("got %q, %v, want %q", got, err, words)
	}
}

// forEver is how long a client may be silent in tests of what is not to be waited for.
const forEver = time.Hour

// Whoever declares TCP is connected to at once, whichever side speaks first, and whatever it says.
func TestRule32_DeclaredTCPIsNotWaitedFor(t *testing.T) {
	w := buildWith(t, Options{sniffDelay: forEver}, serve(t, greets), declaredTCP(nil))
	c := w.dial()
	c.expect(greeting)
	for _, words := range []string{"G", "ET / HTTP/1.1\r\n\r\n", login} {
		c.send(words)
		c.expect(words)
	}
}

// A first byte with which neither a request nor TLS can begin is not waited behind: what follows it may be up to the server.
func TestRule32_AFirstByteOfAnotherProtocolPassesAtOnce(t *testing.T) {
	w := buildWith(t, Options{sniffDelay: forEver}, serve(t, copying), undeclared(nil))
	for _, first := range []string{"\x00", "\x05", "\x10", "\x17", "\x80", "\xff", "(", "/", "<", "[", "{", "}", " ", "@", "\t"} {
		c := w.dial()
		c.send(first)
		c.expect(first)
	}
	if n := w.events.passed[PassedOther].Load(); n != 15 {
		t.Errorf("%d were passed through", n)
	}
}

// Where a server speaks first that has waited is over with its words: what its client answers is nothing to look at, be it a request line.
func TestRule32_TheServersWordsEndTheWait(t *testing.T) {
	w := build(t, serve(t, greets), undeclared(nil))
	c := w.dial()
	c.expect(greeting)
	for _, words := range []string{login, "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "x"} {
		c.send(words)
		c.expect(words)
	}
	w.waitFor(t, func() bool { return w.events.passed[PassedOther].Load() == 1 })
	if n := w.dialer.dials.Load(); n != 1 {
		t.Errorf("%d connections to the server", n)
	}
}
