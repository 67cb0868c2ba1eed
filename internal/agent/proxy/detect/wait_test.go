package detect

import (
	"errors"
	"io"
	"net"
	"strings"
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
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		says  []string
		pause time.Duration // between them
		ends  bool
		want  Protocol
		took  time.Duration
		fails error
	}{
		"at once":                      {says: []string{"GET / HTTP/1.1\r\n"}, want: HTTP1},
		"silent":                       {want: Silent, took: MaxDelay},
		"in two parts":                 {says: []string{"GET / ", "HTTP/1.1\r\n"}, pause: 40 * ms, want: HTTP1, took: 40 * ms},
		"in pieces":                    {says: []string{"GET", " ", "/ ", "HTTP/1.1\r\n"}, pause: 40 * ms, want: HTTP1, took: 120 * ms},
		"byte by byte":                 {says: strings.Split("GET / HTTP/1.1\r\n", ""), pause: 200 * ms, want: HTTP1, took: 15 * 200 * ms},
		"an unusual method in pieces":  {says: []string{"REPORT", " ", "/ ", "HTTP/1.1\r\n"}, pause: 90 * ms, want: HTTP1, took: 270 * ms},
		"an empty line first":          {says: []string{"\r\n", "GET / HTTP/1.1\r\n"}, pause: 90 * ms, want: HTTP1, took: 90 * ms},
		"stops in a likely method":     {says: []string{"GE"}, want: Other, took: maxLikelyPause},
		"stops behind a likely method": {says: []string{"GET /"}, want: Other, took: maxLikelyPause},
		"stops in a word":              {says: []string{"ruok"}, want: Other, took: maxPause},
		"stops behind an empty line":   {says: []string{"\r\n"}, want: Other, took: maxPause},
		"never comes to an end":        {says: strings.Split("GET /"+strings.Repeat("a", 20), ""), pause: 900 * ms, want: Other, took: MaxDelay + maxLine},
		"another protocol's line":      {says: []string{"HELO\r\n"}, want: Other},
		"ends in the midst":            {says: []string{"GET"}, ends: true, want: Other},
		"ends at once":                 {ends: true, fails: io.EOF},
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
							time.Sleep(tc.pause) // of the bubble's clock
						}
						_, _ = io.WriteString(client, s)
					}
					if tc.ends {
						_ = client.Close()
					}
				})
				begin := time.Now()
				src := &fakeSource{Conn: server}
				got, err := Wait(src, src, MaxDelay)
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
