package http1

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

func TestLargeBodiesAreSplicedUnharmed(t *testing.T) {
	const size = 5<<20 + 17
	body := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(body)
	for name, tc := range map[string]struct {
		head  string
		bytes int
	}{
		"content length": {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size-1000), size - 1000},
		"until close":    {"HTTP/1.1 200 OK\r\n\r\n", size},
	} {
		t.Run(name, func(t *testing.T) {
			upstream, in := tcpPair(t)
			out, client := tcpPair(t)
			go func() {
				_, _ = io.WriteString(upstream, tc.head)
				_, _ = upstream.Write(body)
				_ = upstream.CloseWrite()
			}()
			got := make(chan [32]byte)
			go func() {
				h := sha256.New()
				_, _ = io.Copy(h, client)
				got <- [32]byte(h.Sum(nil))
			}()
			r := NewReader(in)
			var (
				p     Response
				b     Body
				moves int
			)
			if err := r.ReadResponse(&p, RequestInfo{}); err != nil {
				t.Fatal(err)
			}
			r.Body(&b, &p.Head)
			done := b.CopyTo(out, Copying{Progress: func() { moves++ }})
			if done != (Copied{Bytes: int64(tc.bytes)}) || !b.Done() || b.Bytes != int64(tc.bytes) {
				t.Errorf("%+v, done %v, counted %d", done, b.Done(), b.Bytes)
			}
			if moves < 10 || r.mover == nil {
				t.Errorf("%d pieces, mover %v", moves, r.mover)
			}
			r.Finish()
			if tc.bytes < size { // what follows the message is still there
				rest, err := io.ReadAll(io.MultiReader(bytes.NewReader(r.Buffered()), in))
				if err != nil || string(rest) != string(body[tc.bytes:]) {
					t.Errorf("%d bytes behind the message, %v", len(rest), err)
				}
			}
			_ = out.CloseWrite()
			if sum := <-got; sum != sha256.Sum256(body[:tc.bytes]) {
				t.Error("the bytes changed on the way")
			}
		})
	}
}

func TestCopiesGoOnAfterATimeout(t *testing.T) {
	for name, length := range map[string]int{"copied": 1000, "spliced": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			upstream, in := tcpPair(t)
			out, client := tcpPair(t)
			received := make(chan int64)
			go func() {
				n, _ := io.Copy(io.Discard, client)
				received <- n
			}()
			if _, err := fmt.Fprintf(upstream, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nfirst", length); err != nil {
				t.Fatal(err)
			}
			r := NewReader(in)
			var p Response
			var b Body
			if err := r.ReadResponse(&p, RequestInfo{}); err != nil {
				t.Fatal(err)
			}
			r.Body(&b, &p.Head)
			_ = in.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			done := b.CopyTo(out, Copying{})
			if done.Bytes != 5 || !errors.Is(done.Read, os.ErrDeadlineExceeded) || done.Write != nil {
				t.Fatalf("%+v", done)
			}
			_ = in.SetReadDeadline(time.Time{})
			go func() { _, _ = upstream.Write(make([]byte, length-5)) }()
			if done = b.CopyTo(out, Copying{}); done != (Copied{Bytes: int64(length - 5)}) {
				t.Fatalf("%+v", done)
			}
			_ = out.CloseWrite()
			if n := <-received; n != int64(length) {
				t.Errorf("received %d", n)
			}
		})
	}
}
