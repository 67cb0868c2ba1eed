package tunnel

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/agent/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what should happen at once.
const patience = 10 * time.Second

// pair returns the two ends of a TCP connection on loopback.
func pair(t testing.TB) (dialled, accepted *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*net.TCPConn{dialled, accepted} {
		t.Cleanup(func() { _ = c.Close() })
	}
	return dialled, accepted
}

// on returns a Conn on a socket.
func on(s transport.Socket) *transport.Conn {
	c, err := transport.New(s)
	if err != nil {
		panic(err)
	}
	return c
}

func poller(t testing.TB) *transport.Poller {
	t.Helper()
	p, err := transport.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// running is a tunnel under test with the two peers that it connects.
type running struct {
	client, server *net.TCPConn
	result         func() Result
}

func start(t testing.TB, o Options) running {
	t.Helper()
	client, inner := pair(t)
	outer, server := pair(t)
	var (
		wg  sync.WaitGroup
		res Result
		err error
	)
	a, b := on(inner), on(outer)
	o.Poller = poller(t)
	wg.Go(func() { res, err = New(a, b, o).Run() })
	r := running{client, server, func() Result {
		wg.Wait()
		if err != nil {
			t.Error(err)
		}
		return res
	}}
	t.Cleanup(func() {
		_, _ = client.Close(), server.Close()
		wg.Wait()
	})
	for _, c := range []*net.TCPConn{client, server} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestTunnelCarriesBothWaysWithPrefixes(t *testing.T) {
	r := start(t, Options{ToServer: []byte("hello "), ToClient: []byte("welcome ")})
	for _, step := range []struct {
		from, to   *net.TCPConn
		send, want string
	}{
		{r.client, r.server, "server", "hello server"},
		{r.server, r.client, "client", "welcome client"},
		{r.client, r.server, "again", "again"},
	} {
		if _, err := io.WriteString(step.from, step.send); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(step.want))
		if _, err := io.ReadFull(step.to, got); err != nil || string(got) != step.want {
			t.Fatalf("got %q, %v, want %q", got, err, step.want)
		}
	}
	_, _ = r.client.Close(), r.server.Close()
	want := Result{Finished, int64(len("hello serveragain")), int64(len("welcome client"))}
	if got := r.result(); got != want {
		t.Errorf("result %+v, want %+v", got, want)
	}
}

func TestTunnelPassesHalfCloseOn(t *testing.T) {
	r := start(t, Options{})
	if _, err := io.WriteString(r.client, "question"); err != nil {
		t.Fatal(err)
	}
	if err := r.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r.server)
	if err != nil || string(got) != "question" {
		t.Fatalf("server got %q, %v", got, err)
	}
	// The other direction goes on after the client has finished sending.
	if _, err := io.WriteString(r.server, "answer"); err != nil {
		t.Fatal(err)
	}
	if err := r.server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err = io.ReadAll(r.client); err != nil || string(got) != "answer" {
		t.Fatalf("client got %q, %v", got, err)
	}
	if got := r.result(); got != (Result{Finished, 8, 6}) {
		t.Errorf("result %+v", got)
	}
}

func TestTunnelPassesResetsOn(t *testing.T) {
	for name, pick := range map[string]func(running) (resets, sees *net.TCPConn){
		"client resets": func(r running) (_, _ *net.TCPConn) { return r.client, r.server },
		"server resets": func(r running) (_, _ *net.TCPConn) { return r.server, r.client },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, Options{})
			resets, sees := pick(r)
			if err := resets.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			if err := resets.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := sees.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the other side saw %v, want a reset", err)
			}
			if got := r.result(); got.End != Broken {
				t.Errorf("result %+v, want Broken", got)
			}
		})
	}
}

// A writer whose peer has gone must hear of it, though nothing can be read from that peer any more.
func TestTunnelResetsTheSenderWhenTheReceiverIsGone(t *testing.T) {
	r := start(t, Options{})
	if err := r.server.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Close(); err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 64<<10)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := r.client.Write(junk); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the client was left hanging")
			}
			return
		}
	}
	t.Fatal("writes go on succeeding")
}

func TestTunnelCarriesMuchUnharmed(t *testing.T) {
	r := start(t, Options{Idle: time.Minute})
	const size = 32 << 20
	var wg sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{r.client, r.server}, {r.server, r.client}} {
		sent, got := sha256.New(), sha256.New()
		wg.Go(func() {
			src := rand.NewChaCha8([32]byte{1})
			if _, err := io.CopyBuffer(io.MultiWriter(way[0], sent), io.LimitReader(src, size), make([]byte, 100_000)); err != nil {
				t.Error(err)
			}
			if err := way[0].CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if n, err := io.Copy(got, way[1]); err != nil || n != size {
				t.Errorf("received %d bytes, %v", n, err)
			}
		})
		defer func() {
			if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
				t.Error("bytes changed on the way")
			}
		}()
	}
	wg.Wait()
	if got := r.result(); got != (Result{Finished, size, size}) {
		t.Errorf("result %+v", got)
	}
}

func TestTunnelEndsWhenIdle(t *testing.T) {
	const idle = 200 * time.Millisecond
	begin := time.Now()
	r := start(t, Options{Idle: idle})
	for _, c := range []*net.TCPConn{r.client, r.server} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
	}
	if got := r.result(); got.End != Idle {
		t.Errorf("result %+v, want Idle", got)
	}
	if took := time.Since(begin); took < idle {
		t.Errorf("ended after %v", took)
	}
}

// A stream in one direction keeps the tunnel alive, though the other direction says nothing.
func TestTunnelWithAOneWayStreamIsNotIdle(t *testing.T) {
	for idle := 150 * time.Millisecond; !streamsOneWay(t, idle); {
		idle *= 2
	}
}

// streamsOneWay has a tunnel carry a stream in one direction for twice its idle timeout. It reports false if it was silent itself for about as
// long, on a machine that is too busy.
func streamsOneWay(t *testing.T, idle time.Duration) bool {
	t.Helper()
	r := start(t, Options{Idle: idle})
	tick := time.NewTicker(idle / 5)
	defer tick.Stop()
	last := time.Now()
	for range 10 {
		<-tick.C
		_, err := r.server.Write([]byte("x"))
		if time.Since(last) > idle/2 {
			return false
		}
		last = time.Now()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.client.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = r.client.Close(), r.server.Close()
	got := r.result()
	if got.End == Idle && time.Since(last) <= idle/2 {
		t.Errorf("result %+v", got)
	}
	return got.End != Idle
}

func TestTunnelEndsWhenClosedFromOutside(t *testing.T) {
	client, inner := pair(t)
	outer, _ := pair(t)
	done := make(chan Result)
	a, b, p := on(inner), on(outer), poller(t)
	go func() {
		res, _ := New(a, b, Options{Idle: time.Hour, Poller: p}).Run()
		done <- res
	}()
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = inner.Close()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the tunnel hangs")
	}
}

// TestTunnelWithAnEndedClientEndsWhenStoppedFromOutside: nothing comes from either side any more, as when the server has vanished.
// Who ends many tunnels interrupts them all before the first is closed.
func TestTunnelWithAnEndedClientEndsWhenStoppedFromOutside(t *testing.T) {
	for name, stop := range map[string]func(*net.TCPConn) error{
		"closed":      (*net.TCPConn).Close,
		"interrupted": func(c *net.TCPConn) error { return c.SetDeadline(time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			client, inner := pair(t)
			outer, server := pair(t)
			done := make(chan Result)
			a, b, p := on(inner), on(outer), poller(t)
			go func() {
				res, _ := New(a, b, Options{Poller: p}).Run()
				done <- res
			}()
			_ = client.CloseWrite()
			if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("the server reads %d, %v, want the client's end", n, err)
			}
			if err := stop(inner); err != nil {
				t.Fatal(err)
			}
			select {
			case res := <-done:
				if res.End != Broken {
					t.Errorf("ended as %d, want broken", res.End)
				}
			case <-time.After(patience):
				t.Fatal("the tunnel hangs")
			}
		})
	}
}
