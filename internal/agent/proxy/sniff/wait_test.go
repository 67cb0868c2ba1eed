package sniff

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSource buffers what it reads from a connection.
type fakeSource struct {
	net.Conn
	buf []byte
}

func (s *fakeSource) Buffered() []byte { return s.buf }

func (s *fakeSource) More() error {
	p := make([]byte, 64)
	n, err := s.Read(p)
	s.buf = append(s.buf, p[:n]...)
	return err
}

// SetReadDeadline does not mind that the other end of the pipe is closed, as a socket does not.
func (s *fakeSource) SetReadDeadline(t time.Time) error {
	if err := s.Conn.SetReadDeadline(t); !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return nil
}

func TestRule32_SniffingWaitsNoLongerThanAllowed(t *testing.T) {
	for name, tc := range map[string]struct {
		says  []string // with 40 ms between
		ends  bool
		want  Protocol
		took  time.Duration
		fails error
	}{
		"at once":           {says: []string{"GET / HTTP/1.1\r\n"}, want: HTTP1},
		"in two parts":      {says: []string{"GET / ", "HTTP/1.1\r\n"}, want: HTTP1, took: 40 * time.Millisecond},
		"silent":            {want: Silent, took: MaxDelay},
		"too slow":          {says: []string{"GET", " ", "/ ", "HTTP/1.1\r\n"}, want: Other, took: MaxDelay},
		"ends in the midst": {says: []string{"GET"}, ends: true, want: Other},
		"ends at once":      {ends: true, fails: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				var talking sync.WaitGroup
				defer talking.Wait()
				defer server.Close()
				talking.Go(func() {
					for i, s := range tc.says {
						if i > 0 {
							time.Sleep(40 * time.Millisecond) // of the bubble's clock
						}
						_, _ = io.WriteString(client, s)
					}
					if tc.ends {
						_ = client.Close()
					}
				})
				begin := time.Now()
				src := &fakeSource{Conn: server}
				got, err := Wait(src, src, begin.Add(MaxDelay))
				if !errors.Is(err, tc.fails) || got != tc.want {
					t.Errorf("got %d, %v", got, err)
				}
				if took := time.Since(begin); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				// The deadline is lifted: a later word still gets through.
				if tc.want == Silent {
					talking.Go(func() {
						time.Sleep(time.Second)
						_, _ = io.WriteString(client, "x")
					})
					if err := src.More(); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}
