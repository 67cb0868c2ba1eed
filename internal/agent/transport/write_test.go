package transport

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// writeAll writes b until a time, as those do who have something else to look at now and then.
func writeAll(c *Conn, b []byte, until time.Time) (done int, err error) {
	var failed error
	for done < len(b) && err == nil && failed == nil {
		err = c.ServeWrites(func(uintptr) bool {
			var n int
			n, failed = c.TryWrite(b[done:])
			done += n
			return n > 0 || failed != nil
		}, until)
	}
	return done, errors.Join(err, failed)
}

// Who waits for a peer to take something is woken once and for all, while another goroutine reads.
func TestStopWriting(t *testing.T) {
	c, _ := pair(t)
	ended := make(chan error)
	go func() {
		_, err := writeAll(c, make([]byte, 64<<20), time.Time{})
		ended <- err
	}()
	c.StopWriting()
	if err := <-ended; !errors.Is(err, ErrInterrupted) {
		t.Fatalf("got %v", err)
	}
	if _, err := writeAll(c, []byte("more"), time.Time{}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("got %v afterwards", err)
	}
}

func TestWritesWaitForASlowPeer(t *testing.T) {
	c, peer := pair(t)
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 32<<10); err != nil { // so that no write takes more at once
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789"), 1<<20)
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(peer)
		got <- all
	}()
	if n, err := writeAll(c, big, time.Time{}); n != len(big) || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	c.Close()
	if !bytes.Equal(<-got, big) {
		t.Error("bytes were lost")
	}
}

func TestWritesEndWhenThePeerStalls(t *testing.T) {
	c, _ := pair(t)
	big := make([]byte, 64<<20)
	n, err := writeAll(c, big, time.Now().Add(50*time.Millisecond))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(big) {
		t.Fatalf("wrote %d, %v", n, err)
	}
}
