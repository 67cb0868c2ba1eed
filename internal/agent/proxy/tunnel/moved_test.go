package tunnel

import (
	"io"
	"net"
	"testing"
	"time"
)

// reportsOf is a tunnel that tells what has moved in it.
func reportsOf(t *testing.T, o Options) (client, server *net.TCPConn, reported <-chan [2]int64, ended <-chan Result) {
	t.Helper()
	client, inner := pair(t)
	outer, server := pair(t)
	moved, ends := make(chan [2]int64, 100), make(chan Result, 1)
	o.Poller = poller(t)
	o.Moved = func(toServer, toClient int64) { moved <- [2]int64{toServer, toClient} }
	done := make(chan struct{})
	go func() {
		defer close(done)
		New(on(inner), on(outer), o).Carry(func(r Result, _ time.Duration) { ends <- r })
	}()
	t.Cleanup(func() { _, _ = client.Close(), server.Close(); <-done })
	return client, server, moved, ends
}

func say(t *testing.T, from, to *net.TCPConn, words string) {
	t.Helper()
	if _, err := io.WriteString(from, words); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, make([]byte, len(words))); err != nil {
		t.Fatal(err)
	}
}

// A tunnel tells what has moved while it goes on, and what has moved since is in its result.
func TestATunnelTellsWhatHasMoved(t *testing.T) {
	client, server, reported, ended := reportsOf(t, Options{ToServer: []byte("he")})
	say(t, client, server, "llo") // with the prefix first: two bytes are left
	say(t, server, client, "welcome")
	limit := time.After(time.Minute)
	for got := [2]int64{}; got != [2]int64{5, 7}; { // on a slow machine it is reported in parts
		select {
		case got = <-reported:
		case <-limit:
			t.Fatalf("reported of %v", got)
		}
	}
	if _, err := io.ReadFull(server, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	say(t, client, server, "more")
	_, _ = client.Close(), server.Close()
	if r := <-ended; r.ToServer != 9 || r.ToClient != 7 {
		t.Errorf("in the end %+v", r)
	}
	if len(reported) > 0 {
		t.Errorf("reported of %v behind the end", <-reported)
	}
}

// One in which nothing moves is asked seldom, and tells nothing.
func TestATunnelTellsNothingTwice(t *testing.T) {
	var reported [][2]int64
	tunnel := &Tunnel{reported: -1, moved: func(toServer, toClient int64) { reported = append(reported, [2]int64{toServer, toClient}) }}
	for i, step := range []struct {
		up, down int64
		again    time.Duration
	}{{0, 0, reportSoon}, {0, 0, reportLater}, {3, 0, reportSoon}, {0, 2, reportSoon}, {0, 0, reportLater}} {
		tunnel.up.bytes.Add(step.up)
		tunnel.down.bytes.Add(step.down)
		if again := tunnel.reportMoved(); again != step.again {
			t.Errorf("step %d: again in %v, want %v", i, again, step.again)
		}
	}
	if len(reported) != 3 || reported[2] != [2]int64{3, 2} {
		t.Errorf("reported %v", reported)
	}
}
