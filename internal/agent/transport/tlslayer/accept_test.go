package tlslayer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// accepting serves clients with Accept, which gets what they have sent first, and hands on what has become of each.
func accepting(t testing.TB, config *tls.Config, wait time.Duration, then func(*transport.Conn, *Layer, error)) netip.AddrPort {
	t.Helper()
	return listen(t, func(c net.Conn) {
		conn, err := transport.New(c.(*net.TCPConn))
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		now, until := soon()
		first := make([]byte, 4096)
		n, err := conn.Read(first, now, until)
		if err != nil {
			t.Error(err)
			return
		}
		l, err := Accept(conn, first[:n], config, time.Now().Add(wait))
		clear(first) // nothing of it is kept
		then(conn, l, err)
	})
}

// give is for accepting.
func give(to chan<- error) func(*transport.Conn, *Layer, error) {
	return func(_ *transport.Conn, _ *Layer, err error) { to <- err }
}

// returning sends back what it reads, until the client ends.
func returning(c *transport.Conn, l *Layer, err error) {
	buf := make([]byte, 20_000)
	for err == nil {
		var n int
		now, until := soon()
		if n, err = c.Read(buf, now, until); err == nil {
			_, err = c.Write(buf[:n])
		}
	}
	if errors.Is(err, io.EOF) && l != nil {
		_ = c.CloseWrite()
	}
}

func clientConfig(a *tlstest.Authority) *tls.Config {
	return &tls.Config{RootCAs: a.Pool(), ServerName: host, NextProtos: []string{HTTP2, HTTP1}}
}

func TestAcceptServesClients(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		change func(*tls.Config)
		alpn   string
	}{
		"TLS 1.3":            {func(*tls.Config) {}, HTTP1},
		"TLS 1.2":            {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, HTTP1},
		"no ALPN":            {func(c *tls.Config) { c.NextProtos = nil }, ""},
		"a key share anew":   {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521, tls.CurveP256} }, HTTP1},
		"no quantum-safe":    {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }, HTTP1},
		"one version of two": {func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 }, HTTP1},
	} {
		t.Run(name, func(t *testing.T) {
			config := serverConfig(a)
			config.NextProtos = []string{HTTP1}
			infos := make(chan transport.Info, 2)
			to := accepting(t, config, patience, func(c *transport.Conn, l *Layer, err error) {
				if err != nil {
					t.Error(err)
				} else {
					infos <- c.Info()
				}
				returning(c, l, err)
			})
			own := clientConfig(a)
			own.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			tc.change(own)
			for i := range 2 {
				c, err := tls.Dial("tcp", to.String(), own)
				if err != nil {
					t.Fatal(err)
				}
				large := bytes.Repeat([]byte("0123456789"), 50_000)
				go func() { _, _ = c.Write(large); _ = c.CloseWrite() }()
				if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, large) {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
				if i == 1 && !c.ConnectionState().DidResume {
					t.Error("the session is not resumed")
				}
				_ = c.Close()
				if info := <-infos; info.ALPN != tc.alpn || info.ServerName != host || info.Peer != nil {
					t.Errorf("got %+v", info)
				}
			}
		})
	}
}

// What a client sends together with the end of its handshake is read, and a hello may come byte by byte.
func TestAcceptWhateverComesTogether(t *testing.T) {
	a := tlstest.New(t)
	to := accepting(t, serverConfig(a), patience, returning)
	raw, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	slow := &joining{Conn: raw}
	c := tls.Client(slow, clientConfig(a))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	slow.join = true
	if _, err := c.Write([]byte("together")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 8)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "together" {
		t.Errorf("got %q, %v", got, err)
	}
}

// joining sends its first write byte by byte, and the second one together with the third.
type joining struct {
	net.Conn
	writes int
	held   []byte
	join   bool
}

func (j *joining) Write(p []byte) (int, error) {
	j.writes++
	if j.writes == 1 {
		for i := range p {
			if _, err := j.Conn.Write(p[i : i+1]); err != nil {
				return i, err
			}
		}
		return len(p), nil
	}
	if !j.join {
		j.held = append(j.held, p...)
		return len(p), nil
	}
	_, err := j.Conn.Write(append(j.held, p...))
	j.held = nil
	return len(p), err
}

// Who cannot be served is sent nothing, so that somebody else can serve it.
func TestAcceptDeclinesBeforeItSendsAnything(t *testing.T) {
	a := tlstest.New(t)
	for name, change := range map[string]func(*tls.Config){
		"other protocols": func(c *tls.Config) { c.NextProtos = []string{"mqtt", "acme-tls/1"} },
		"TLS 1.1 alone":   func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"RSA alone": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			to := accepting(t, serverConfig(a), patience, give(ended))
			raw, err := net.Dial("tcp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			config := clientConfig(a)
			change(config)
			if err := tls.Client(raw, config).Handshake(); !errors.Is(err, io.EOF) {
				t.Errorf("the client sees %v", err)
			}
			if err := <-ended; !errors.Is(err, ErrDeclined) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Clients end their handshakes in many ways because of the certificate.
func TestAcceptSeesDistrust(t *testing.T) {
	a := tlstest.New(t)
	distrusting := func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }
	for name, tc := range map[string]struct {
		end   func(*net.TCPConn)
		alert bool
	}{
		"TLS 1.3": {func(c *net.TCPConn) {
			config := clientConfig(a)
			distrusting(config)
			_ = tls.Client(c, config).Handshake()
		}, true},
		"TLS 1.2": {func(c *net.TCPConn) {
			config := clientConfig(a)
			distrusting(config)
			config.MaxVersion = tls.VersionTLS12
			_ = tls.Client(c, config).Handshake()
		}, true},
		"closes": {func(c *net.TCPConn) { sayHello(t, c); readSome(c) }, false},
		"resets": {func(c *net.TCPConn) { sayHello(t, c); readSome(c); _ = c.SetLinger(0) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			to := accepting(t, serverConfig(a), patience, give(ended))
			raw, err := net.Dial("tcp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			tc.end(raw.(*net.TCPConn))
			_ = raw.Close()
			var distrust *Distrust
			if err := <-ended; !errors.As(err, &distrust) || (distrust.Alert != 0) != tc.alert {
				t.Errorf("got %v", err)
			}
		})
	}
}

// hello is what a client sends first.
func hello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); _ = tls.Client(client, config).Handshake() }()
	defer func() { _, _ = client.Close(), server.Close(); <-done }()
	buf := make([]byte, 16<<10)
	n, err := server.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func sayHello(t testing.TB, c net.Conn) {
	if _, err := c.Write(hello(t, &tls.Config{ServerName: host})); err != nil {
		t.Error(err)
	}
}

// Other ends are not taken for distrust.
func TestAcceptEndsOtherwise(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		wait time.Duration
		end  func(*net.TCPConn)
		want func(error) bool
	}{
		"the time is up": {time.Millisecond, func(c *net.TCPConn) { sayHello(t, c); _, _ = io.Copy(io.Discard, c) },
			func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
		"leaves in its hello": {patience, func(c *net.TCPConn) { _, _ = c.Write(hello(t, &tls.Config{ServerName: host})[:100]) },
			func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }},
		"says something else": {patience, func(c *net.TCPConn) {
			sayHello(t, c)
			readSome(c)
			_, _ = c.Write([]byte{22, 3, 3, 0, 4, 20, 0, 0, 0})
			_, _ = io.Copy(io.Discard, c)
		}, func(err error) bool { var e *Error; return errors.As(err, &e) }},
		"another alert": {patience, func(c *net.TCPConn) {
			sayHello(t, c)
			readSome(c)
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 51})
			_, _ = io.Copy(io.Discard, c)
		}, func(err error) bool { var e *Error; return errors.As(err, &e) }},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			to := accepting(t, serverConfig(a), tc.wait, give(ended))
			raw, err := net.Dial("tcp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			tc.end(raw.(*net.TCPConn))
			_ = raw.Close()
			var distrust *Distrust
			if err := <-ended; !tc.want(err) || errors.As(err, &distrust) || errors.Is(err, ErrDeclined) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Whatever a client says first, the handshake comes to an end, and nothing is served that has not agreed.
func TestHostileHellos(t *testing.T) {
	a := tlstest.New(t)
	ended := make(chan error, 1)
	to := accepting(t, serverConfig(a), patience, give(ended))
	whole := hello(t, clientConfig(a))
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := bytes.Clone(whole)
		for range 1 + random.IntN(4) {
			switch at := 5 + random.IntN(len(b)-5); random.IntN(4) {
			case 0:
				b[at] ^= byte(1 << random.IntN(8))
			case 1:
				b[at] = byte(random.Uint32())
			case 2:
				b = append(b[:at], b[min(at+1+random.IntN(20), len(b)):]...)
			case 3:
				b = append(b[:at], append(bytes.Repeat([]byte{byte(random.Uint32())}, random.IntN(300)), b[at:]...)...)
			}
			if len(b) < 10 {
				break
			}
		}
		c, err := net.Dial("tcp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(b)
		_ = c.(*net.TCPConn).CloseWrite()
		if err := <-ended; err == nil {
			t.Fatalf("served: %x", b)
		}
		_ = c.Close()
	}
}

// An alert in the clear is seen wherever the bytes are divided, and nothing else is taken for one.
func TestAlertsInTheClearAreSeen(t *testing.T) {
	handshake, sealed := []byte{22, 3, 1, 0, 3, 21, 3, 3}, append([]byte{21, 3, 3, 0, 26}, make([]byte, 26)...)
	alert := []byte{21, 3, 3, 0, 2, 2, 48}
	for name, tc := range map[string]struct {
		stream []byte
		want   bool
	}{
		"alone": {alert, true}, "behind others": {slices.Concat(handshake, []byte{20, 3, 3, 0, 1, 1}, alert), true},
		"sealed": {slices.Concat(handshake, sealed), false}, "within another": {slices.Concat([]byte{23, 3, 3, 0, 7}, alert), false}, "a part": {alert[:6], false},
		"empty records": {slices.Concat([]byte{22, 3, 3, 0, 0}, alert), true},
	} {
		for at := range tc.stream {
			var r records
			r.see(tc.stream[:at])
			r.see(tc.stream[at:])
			if r.alerted != tc.want || tc.want && r.alert != 48 {
				t.Errorf("%s, divided at %d: %+v", name, at, r)
			}
		}
	}
}
