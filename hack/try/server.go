package main

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// server is the inventory. It fails by count, not by chance, so that the figures are the same each time.
type server struct {
	at   string
	http *http.Server
	done sync.WaitGroup

	mu sync.Mutex
	// guarded by mu
	seen   [2]int         // reads and orders
	orders map[string]int // carried out
}

func listen() (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{at: l.Addr().String(), orders: map[string]int{}}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.done.Go(func() { _ = s.http.Serve(l) }) // ends by close
	return s, nil
}

func (s *server) close() {
	_ = s.http.Close()
	s.done.Wait()
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if s.fails(r.Method == http.MethodPost, string(body)) {
		http.Error(rw, "inventory has failed", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(rw, "ok\n")
}

// fails carries a request out, and reports whether its answer is an error: for three reads in ten, and for one order in ten, which is carried out.
func (s *server) fails(order bool, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if order {
		s.orders[id]++
		s.seen[1]++
		return s.seen[1]%10 == 0
	}
	s.seen[0]++
	n := s.seen[0] % 10
	return n == 2 || n == 5 || n == 6
}

func (s *server) carriedOutTwice() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.orders {
		if times > 1 {
			n++
		}
	}
	return n
}
