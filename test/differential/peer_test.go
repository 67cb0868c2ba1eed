package differential

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long an end waits for what should come before it notes that nothing does.
const patience = 5 * time.Second

// peer is one end of a connection that follows a script and notes what it sees. Notes do not depend on how the bytes were cut.
type peer struct {
	r    *run
	who  string
	conn *net.TCPConn
	tls  *tls.Conn // on conn; nil: none
	in   *bufio.Reader
	// patience replaces the constant.
	patience time.Duration
	// keep is how long a server keeps an idle connection; 0 means as long as the run.
	keep time.Duration
	// silent: nothing is noted.
	silent bool
	// ended is how the other side ended, once it has.
	ended string
}

func newPeer(r *run, who string, c *net.TCPConn) *peer {
	return &peer{r: r, who: who, conn: c, in: bufio.NewReaderSize(c, 64<<10), patience: patience}
}

func (p *peer) note(format string, args ...any) {
	if !p.silent {
		p.r.seen.note(p.who, format, args...)
	}
}

// errorClass names an error as far as every client can tell: "" for none.
func errorClass(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errCut):
		return "cut"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "end"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "silence"
	case errors.Is(err, syscall.ETIMEDOUT):
		return "timed out"
	case errors.Is(err, net.ErrClosed):
		return "closed by the scenario"
	}
	return err.Error()
}

// await bounds the next wait.
func (p *peer) await() {
	_ = p.conn.SetDeadline(time.Now().Add(p.patience))
}

// wait changes how long the peer waits from now on.
func (p *peer) wait(d time.Duration) *peer {
	p.patience = d
	return p
}

// say sends, and notes only when that fails.
func (p *peer) say(s string) bool { return p.send([]byte(s)) }

func (p *peer) send(b []byte) bool {
	p.await()
	if _, err := p.out().Write(b); err != nil {
		p.note("cannot send: %s", errorClass(err))
		return false
	}
	return true
}

// sayQuietly sends and notes nothing: how much is accepted before a failure shows is up to the kernel.
func (p *peer) sayQuietly(s string) bool {
	p.await()
	_, err := io.WriteString(p.out(), s)
	return err == nil
}

// pieces sends one piece after the other, with a pause before each.
func (p *peer) pieces(pause time.Duration, pieces ...string) bool {
	for _, s := range pieces {
		time.Sleep(pause)
		if !p.say(s) {
			return false
		}
	}
	return true
}

// timed notes the class of the time that something takes.
func (p *peer) timed(name string, fn func()) { p.r.timed(p.who+": "+name, fn) }

// hear reads so many bytes and notes them.
func (p *peer) hear(n int) bool {
	p.await()
	b := make([]byte, n)
	k, err := io.ReadFull(p.in, b)
	return p.heard(b[:k], err)
}

// heard notes what was read, and what ended the reading.
func (p *peer) heard(b []byte, err error) bool {
	if len(b) > 0 {
		p.note("hears %s", show(b))
	}
	if err != nil {
		p.ended = errorClass(err)
		p.note("then %s", p.ended)
	}
	return err == nil
}

// expect reads exactly what is said to come. It notes nothing else than a failure, so that scripts may tell what matters.
func (p *peer) expect(s string) bool {
	p.await()
	b := make([]byte, len(s))
	k, err := io.ReadFull(p.in, b)
	if err != nil || string(b) != s {
		return p.heard(b[:k], err)
	}
	return true
}

// readHead reads up to and including an empty line. Empty lines before a head are skipped, as all servers do.
func (p *peer) readHead() (string, error) {
	p.await()
	var b strings.Builder
	for {
		line, err := p.in.ReadString('\n')
		empty := strings.TrimRight(line, "\r\n") == ""
		if err == nil && empty && b.Len() == 0 {
			continue
		}
		b.WriteString(line)
		if err != nil || empty {
			return b.String(), err
		}
	}
}

// rest reads until the other side ends, and notes what came and how it ended.
func (p *peer) rest() bool {
	digest := newDigest()
	for {
		p.await()
		if _, err := io.CopyN(digest, p.in, 64<<10); err != nil {
			digest.note(p)
			p.ended = errorClass(err)
			p.note("then %s", p.ended)
			return p.ended == "end"
		}
	}
}

// quiet waits for so long and notes if anything comes.
func (p *peer) quiet(d time.Duration) bool {
	_ = p.conn.SetReadDeadline(time.Now().Add(d))
	b, err := p.in.Peek(1)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	if err != nil {
		return p.heard(nil, err)
	}
	p.note("hears %q when nothing should come", b)
	return false
}

// gone waits until the other side has gone, however it does that: whoever sends nothing more cannot tell an end from a reset for sure.
func (p *peer) gone(within time.Duration) {
	_ = p.conn.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, p.in)
	if errorClass(err) == "silence" {
		p.note("still there after %s", within)
		return
	}
	p.note("gone")
}

// finish ends its own side.
// over waits a while for the other side to end an idle connection, and notes what becomes of it.
func (p *peer) over() {
	_ = p.conn.SetReadDeadline(time.Now().Add(2500 * time.Millisecond))
	b, err := p.in.Peek(1)
	switch f := errorClass(err); f {
	case "":
		p.note("hears %q when nothing should come", b)
	case "silence":
		p.note("stays connected")
	case "end":
		p.note("is ended")
	default:
		p.note("is %s", f)
	}
}

func (p *peer) finish() {
	if p.tls != nil {
		_ = p.tls.CloseWrite()
	}
	_ = p.conn.CloseWrite()
}

// drain waits until the other side has gone and notes nothing: when that is depends on what else happens.
func (p *peer) drain() {
	_ = p.conn.SetReadDeadline(time.Now().Add(4 * time.Second))
	_, _ = io.Copy(io.Discard, p.in)
	p.ended = "over"
}

func (p *peer) close() {
	if p.tls != nil {
		_ = p.tls.Close()
		return
	}
	_ = p.conn.Close()
}

// cut closes without saying so first, where there is TLS.
func (p *peer) cut() {
	_ = p.conn.Close()
	p.ended = "cut"
}

// reset closes with a reset.
func (p *peer) reset() {
	_ = p.conn.SetLinger(0)
	_ = p.conn.Close()
}

// digest is a hash that counts and remembers the beginning.
type digest struct {
	hash  hash.Hash
	n     int
	start bytes.Buffer
}

func newDigest() *digest { return &digest{hash: sha256.New()} }

func (d *digest) Write(b []byte) (int, error) {
	if room := 400 - d.start.Len(); room > 0 {
		d.start.Write(b[:min(room, len(b))])
	}
	d.n += len(b)
	return d.hash.Write(b)
}

func (d *digest) String() string {
	if d.n <= 400 {
		return fmt.Sprintf("%q", d.start.Bytes())
	}
	return fmt.Sprintf("%d bytes %x beginning %q", d.n, d.hash.Sum(nil)[:6], d.start.Bytes()[:32])
}

func (d *digest) note(p *peer) {
	if d.n > 0 {
		p.note("hears %s", d)
	}
}

// noise is n bytes that are the same in every run, and look like nothing.
func noise(n int) string {
	b := noiseBlock()
	if n <= len(b) {
		return b[:n]
	}
	return strings.Repeat(b, n/len(b)) + b[:n%len(b)]
}

var noiseBlock = sync.OnceValue(func() string {
	b := make([]byte, 4<<20)
	x := uint64(0x9e3779b97f4a7c15)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = "0123456789abcdef"[x&15]
	}
	return string(b)
})
