package tlslayer

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// Everything arrives as it was sent, in both directions at once, though the sockets take little at a time.
func TestBothDirectionsUnderBackPressure(t *testing.T) {
	a := tlstest.New(t)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			config := serverConfig(a)
			config.MaxVersion = version
			c, err := connectBy(t, plainDialer{buffers: 8 << 10}, trusting(t, a), listenTLS(t, config, echo), HTTP1)
			if err != nil {
				t.Fatal(err)
			}
			sent := make([]byte, 300_000)
			_, _ = rand.Read(sent)
			failed := make(chan error, 1)
			go func() {
				_, err := c.Write(sent[:100_000])
				for rest := sent[100_000:]; err == nil && len(rest) > 0; {
					err = c.ServeWrites(func(uintptr) bool {
						var n int
						n, err = c.TryWrite(rest[:min(len(rest), 50_000)])
						rest = rest[n:]
						return n > 0 || err != nil
					}, time.Now().Add(patience))
				}
				failed <- errors.Join(err, c.CloseWrite())
			}()
			got, err := readAll(t, c, len(sent))
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came, or others than were sent: %v", len(got), err)
			}
			if err := <-failed; err != nil {
				t.Error(err)
			}
			if _, err := readAll(t, c, 1); !errors.Is(err, io.EOF) {
				t.Errorf("the end is %v", err)
			}
		})
	}
}

// An end that the server has not announced may have been made by somebody else.
func TestEndsAreToldApart(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		end  func(*tls.Conn)
		want error
	}{
		"announced":   {func(c *tls.Conn) { _ = c.CloseWrite() }, io.EOF},
		"unannounced": {func(c *tls.Conn) { _ = c.NetConn().Close() }, io.ErrUnexpectedEOF},
		"in a record": {func(c *tls.Conn) { _, _ = c.NetConn().Write([]byte{23, 3, 3, 0, 50, 1, 2}); _ = c.NetConn().Close() }, io.ErrUnexpectedEOF},
		"reset":       {func(c *tls.Conn) { _ = c.NetConn().(*net.TCPConn).SetLinger(0); _ = c.NetConn().Close() }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			leave := make(chan struct{})
			to := listenTLS(t, serverConfig(a), func(c *tls.Conn) {
				_, _ = c.Write([]byte("word"))
				<-leave
				tc.end(c)
			})
			c := mustConnect(t, trusting(t, a), to)
			got, err := readAll(t, c, 4)
			if err != nil || string(got) != "word" {
				t.Fatalf("got %q, %v", got, err)
			}
			close(leave)
			for range 2 { // the second time as well
				if _, err := readAll(t, c, 1); !errors.Is(err, tc.want) {
					t.Errorf("the end is %v, want %v", err, tc.want)
				}
			}
			if c.Peek() != transport.Gone {
				t.Error("it does not look ended")
			}
		})
	}
}

// What is looked at stays to be read, in order.
func TestPeekingTakesNothing(t *testing.T) {
	a := tlstest.New(t)
	to := listenTLS(t, serverConfig(a), func(c *tls.Conn) {
		for _, part := range []string{"one ", "two ", "three"} {
			_, _ = c.Write([]byte(part))
		}
		_, _ = c.Read(make([]byte, 1))
	})
	c := mustConnect(t, trusting(t, a), to)
	if err := c.AwaitReadable(); err != nil {
		t.Fatal(err)
	}
	var one [1]byte
	if n, state := c.PeekInto(one[:]); n != 1 || state != transport.Readable || one[0] != 'o' {
		t.Fatalf("peeked %q, %v", one[:n], state)
	}
	if c.Peek() != transport.Readable {
		t.Error("it is gone")
	}
	eventually(t, func() bool {
		var all [20]byte
		n, _ := c.PeekInto(all[:])
		return string(all[:n]) == "one two three"
	})
	got, err := readAll(t, c, len("one two three"))
	if err != nil || string(got) != "one two three" {
		t.Errorf("got %q, %v", got, err)
	}
	if c.Peek() != transport.Quiet {
		t.Error("there is more")
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
	}
}

// A server that refuses a client's certificate says so, in TLS 1.3 when the client's handshake is over already.
func TestAClientCertificateIsShownAndItsRefusalSeen(t *testing.T) {
	a, other := tlstest.New(t), tlstest.New(t)
	for name, tc := range map[string]struct {
		certificate *tls.Certificate
		refused     bool
	}{
		"accepted": {a.Issue(nil, "client.example"), false},
		"foreign":  {other.Issue(nil, "client.example"), true},
		"expired":  {a.Issue(tlstest.Expired, "client.example"), true},
		"none":     {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			config := serverConfig(a)
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
			to := listenTLS(t, config, func(c *tls.Conn) {
				_, _ = c.Write([]byte(c.ConnectionState().PeerCertificates[0].DNSNames[0]))
			})
			client, err := NewClient(a.Pool(), tc.certificate)
			if err != nil {
				t.Fatal(err)
			}
			c := mustConnect(t, client.Server(host), to)
			got, err := readAll(t, c, len("client.example"))
			if tc.refused {
				wantReason(t, err, ClientCertificate)
			} else if err != nil || string(got) != "client.example" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// Sessions are resumed, but by nobody else, and not after anything has changed about who trusts whom.
func TestSessionsAreResumedByTheSameAlone(t *testing.T) {
	a := tlstest.New(t)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			config := serverConfig(a)
			config.MaxVersion = version
			resumed := make(chan bool, 1)
			to := listenTLS(t, config, func(c *tls.Conn) { resumed <- c.ConnectionState().DidResume; echo(c) })
			exchange := func(s *Server) bool {
				c := mustConnect(t, s, to)
				defer c.Close()
				_, _ = c.TryWrite([]byte("x")) // the ticket comes with the answer
				if _, err := readAll(t, c, 1); err != nil {
					t.Fatal(err)
				}
				return <-resumed
			}
			client, _ := NewClient(a.Pool(), nil)
			s := client.Server(host)
			if exchange(s) {
				t.Error("the first connection resumes a session")
			}
			if !exchange(s) {
				t.Error("the second connection resumes none")
			}
			if exchange(client.Server(host)) {
				t.Error("another destination resumes the session")
			}
			again, _ := NewClient(a.Pool(), a.Issue(nil, "client.example"))
			if exchange(again.Server(host)) {
				t.Error("another identity resumes the session")
			}
		})
	}
}

// Damaged records end a connection, whatever they are.
func TestHostileRecords(t *testing.T) {
	a := tlstest.New(t)
	for name, record := range map[string][]byte{
		"damaged":            append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...),
		"too long":           {23, 3, 3, 0xff, 0xff},
		"too short":          {23, 3, 3, 0, 1, 0},
		"of another version": {23, 9, 9, 0, 40},
		"not sealed":         {21, 3, 3, 0, 2, 2, 40},
		"of an unknown type": append([]byte{99, 3, 3, 0, 40}, make([]byte, 40)...),
		"many empty ones":    bytes.Repeat([]byte{20, 3, 3, 0, 1, 1}, 100),
	} {
		t.Run(name, func(t *testing.T) {
			to := listenTLS(t, serverConfig(a), func(c *tls.Conn) {
				_, _ = c.NetConn().Write(record)
				_, _ = io.Copy(io.Discard, c.NetConn())
			})
			c := mustConnect(t, trusting(t, a), to)
			_, err := readAll(t, c, 1)
			var failed *Error
			if !errors.As(err, &failed) {
				t.Errorf("got %v", err)
			}
			if _, err := c.TryWrite([]byte("x")); err == nil {
				t.Error("it can be written to")
			}
		})
	}
}

// A peer that asks for answers and takes none is not waited for, and not remembered for without bound.
func TestAnswersThatNobodyTakesAreBounded(t *testing.T) {
	a := tlstest.New(t)
	hold := make(chan struct{})
	to := listenTLS(t, serverConfig(a), func(*tls.Conn) { <-hold })
	defer close(hold)
	c := mustConnect(t, trusting(t, a), to)
	l := layerOf(c)
	record := make([]byte, 100)
	for i := 0; ; i++ {
		if _, err := l.socket.Write(record); err != nil {
			if !errors.Is(err, errFlood) {
				t.Errorf("got %v", err)
			}
			break
		}
		if i > 1<<20 {
			t.Fatal("there is no bound")
		}
	}
	if len(l.socket.out) > maxPending {
		t.Errorf("%d bytes are kept", len(l.socket.out))
	}
	if _, err := c.TryWrite([]byte("x")); !errors.Is(err, errFlood) {
		t.Errorf("writing gives %v", err)
	}
}

// An idle connection keeps no buffers of this package's.
func TestAnIdleConnectionHoldsNoBuffers(t *testing.T) {
	a := tlstest.New(t)
	c := mustConnect(t, trusting(t, a), listenTLS(t, serverConfig(a), echo))
	big := make([]byte, 100_000)
	go func() { _, _ = c.Write(big) }()
	if _, err := readAll(t, c, len(big)); err != nil {
		t.Fatal(err)
	}
	if l := layerOf(c); l.socket.inBuf != nil || l.socket.outBuf != nil || l.peeked != nil {
		t.Error("it holds buffers")
	}
}
