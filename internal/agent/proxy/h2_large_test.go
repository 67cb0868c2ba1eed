package proxy

import (
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
)

// noise is a body of so many bytes that no two pieces of are alike, with its sum.
type noise struct {
	random *rand.ChaCha8
	left   int64
	sum    hash.Hash
}

func newNoise(n int64) *noise {
	return &noise{rand.NewChaCha8([32]byte{1}), n, sha256.New()}
}

// Read implements io.Reader.
func (n *noise) Read(b []byte) (int, error) {
	if n.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), n.left)]
	_, _ = n.random.Read(b) // never fails
	n.left -= int64(len(b))
	n.sum.Write(b)
	return len(b), nil
}

// Bodies of 100 MiB in both directions at a time come out as they went in, and what is kept of them stays small.
func TestRule31_HugeBodiesOverHTTP2(t *testing.T) {
	const size, most = 100 << 20, 4 << 20
	w := build(t, serveH2(t, func(rw http.ResponseWriter, q *http.Request) { _, _ = io.Copy(rw, q.Body) }), toAnyH2(everythingSlow))
	body := newNoise(size)
	var largest atomic.Int64
	q, err := http.NewRequestWithContext(t.Context(), "POST", "http://up.example/", io.TeeReader(body, writerFunc(func([]byte) {
		largest.Store(max(largest.Load(), w.server.h2.Buffered()))
	})))
	check(t, err)
	c := w.clientH2()
	c.Timeout = 0
	res, err := c.Do(q)
	check(t, err)
	defer res.Body.Close()
	got := sha256.New()
	n, err := io.Copy(got, res.Body)
	if err != nil || n != size || string(got.Sum(nil)) != string(body.sum.Sum(nil)) {
		t.Errorf("%d bytes of %d came, %v", n, size, err)
	}
	if largest.Load() > most {
		t.Errorf("%d bytes were kept", largest.Load())
	}
}

type writerFunc func(b []byte)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }
