package liveapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// large is more than the sockets' buffers take of an answer that nobody reads: that of a client is small, that of the server grows to 4 MiB.
var large = bytes.Repeat([]byte("m"), 8<<20)

// served serves a page until the test ends, and returns its address.
func served(t *testing.T, page http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error { return serve(ctx, newServer(page), newBounded(l)) })
	t.Cleanup(func() {
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// dialer dials from an address of loopback, which is that of another pod.
func dialer(from string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		return errors.Join(c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10)
		}), failed)
	}}
}

// answerBegun asks for the page from an address, and returns once the answer has begun.
func answerBegun(t *testing.T, from, page string) *http.Response {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer(from).DialContext}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+page, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// rest returns how much of an answer there is still to read.
func rest(t *testing.T, resp *http.Response) int64 {
	t.Helper()
	n, err := io.Copy(io.Discard, resp.Body)
	if (err == nil) != (n == int64(len(large))) {
		t.Errorf("%d bytes, and then %v", n, err)
	}
	return n
}

func TestSlowReadersKeepNobodyFromAPageForAnybody(t *testing.T) {
	page := served(t, forAnybody(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }, time.Hour))
	var slow []*http.Response
	for i := range 3 * maxAnswers {
		slow = append(slow, answerBegun(t, fmt.Sprintf("127.0.1.%d", 1+i/3), page)) // three of each address
	}
	for _, from := range []string{"127.0.2.1", "127.0.1.1", fmt.Sprintf("127.0.1.%d", maxAnswers), "127.0.0.1"} {
		if resp := answerBegun(t, from, page); resp.StatusCode != http.StatusOK || rest(t, resp) != int64(len(large)) {
			t.Errorf("from %s: %s", from, resp.Status)
		}
	}
	whole := 0
	for _, resp := range slow {
		if rest(t, resp) == int64(len(large)) {
			whole++
		}
	}
	if whole > maxAnswers {
		t.Errorf("%d answers were kept for slow readers", whole)
	}
}

func TestAnAnswerForAnybodyEndsInTime(t *testing.T) {
	done := make(chan struct{})
	page := forAnybody(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }, 100*time.Millisecond)
	address := served(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		page(w, r)
	})
	c, err := dialer("127.0.1.1").DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: page\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	<-done
	if n, err := io.Copy(io.Discard, c); n >= int64(len(large)) {
		t.Errorf("a reader that had read nothing when the time was over got all: %d bytes, %v", n, err)
	}
}

// One of three of an address that wait for their turn makes room, and does not wait on.
func TestWhoWaitsForATurnMakesRoom(t *testing.T) {
	making, release := make(chan struct{}, 1+maxAnswersOfOne), make(chan struct{})
	page := forAnybody(func(http.ResponseWriter, *http.Request) {
		making <- struct{}{}
		<-release
	}, time.Hour)
	status := make(chan int)
	ask := func(from string) {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.RemoteAddr = from
		page(w, r)
		status <- w.Code
	}
	go ask("10.0.0.1:1")
	<-making
	for range 1 + maxAnswersOfOne {
		go ask("10.0.0.2:1")
	}
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("one too many gets %d", got)
	}
	close(release)
	for range 1 + maxAnswersOfOne {
		if got := <-status; got != http.StatusOK {
			t.Errorf("another gets %d", got)
		}
	}
}
