package tlslayer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

func TestHandshakeAgreesAndVerifies(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		protocol string
		change   func(*tls.Config)
		alpn     string
	}{
		"TLS 1.3":       {HTTP1, func(*tls.Config) {}, HTTP1},
		"TLS 1.2":       {HTTP1, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, HTTP1},
		"HTTP/2":        {HTTP2, func(*tls.Config) {}, HTTP2},
		"no ALPN":       {HTTP1, func(c *tls.Config) { c.NextProtos = nil }, ""},
		"HTTP/1 alone":  {HTTP1, func(c *tls.Config) { c.NextProtos = []string{HTTP1} }, HTTP1},
		"another curve": {HTTP1, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} }, HTTP1},
		"an old block code": {HTTP1, func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, HTTP1},
	} {
		t.Run(name, func(t *testing.T) {
			config := serverConfig(a)
			tc.change(config)
			names := make(chan string, 1)
			to := listenTLS(t, config, func(c *tls.Conn) { names <- c.ConnectionState().ServerName; echo(c) })
			c, err := connect(t, trusting(t, a), to, tc.protocol)
			if err != nil {
				t.Fatal(err)
			}
			if name := <-names; name != host {
				t.Errorf("the server was asked for %q", name)
			}
			info := c.Info()
			if info.ALPN != tc.alpn || info.ServerName != host || info.Peer == nil || info.Peer.DNSNames[0] != host || c.Plain() {
				t.Errorf("got %+v", info)
			}
			now, until := soon()
			ask := func() error { _, err := c.TryWrite([]byte("ping")); return err }
			in := make([]byte, 10)
			if n, _, err := c.WriteThenRead(ask, in, transport.At(now), transport.At(until)); err != nil || string(in[:n]) != "ping" {
				t.Errorf("got %q, %v", in[:n], err)
			}
		})
	}
}

// Of two protocols that are offered the server chooses; one that chooses none speaks HTTP/1.1.
func TestTheServerChoosesOfTwoProtocols(t *testing.T) {
	a := tlstest.New(t)
	for name, tc := range map[string]struct {
		speaks []string
		want   string
	}{"both": {[]string{HTTP1, HTTP2}, HTTP1}, "HTTP/2": {[]string{HTTP2}, HTTP2}, "HTTP/1.1": {[]string{HTTP1}, HTTP1}, "none": {nil, ""}} {
		config := serverConfig(a)
		config.NextProtos = tc.speaks
		s := trusting(t, a)
		to := listenTLS(t, config, echo)
		for range 2 { // the second one resumes the session
			c, err := connect(t, s, to, HTTP2, HTTP1)
			if err != nil || c.Info().ALPN != tc.want {
				t.Errorf("%s: %v, agreed on %+v", name, err, c.Info())
			}
		}
	}
	config := serverConfig(a)
	config.NextProtos = []string{"smtp"}
	_, err := connect(t, trusting(t, a), listenTLS(t, config, echo), HTTP2, HTTP1)
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != ALPN {
		t.Errorf("neither: %v", err)
	}
}

// Whatever is wrong with a server is found, and named.
func TestServersThatAreNotTrusted(t *testing.T) {
	a, other := tlstest.New(t), tlstest.New(t)
	with := func(c *tls.Certificate) func(*tls.Config) {
		return func(config *tls.Config) { config.Certificates = []tls.Certificate{*c} }
	}
	clientOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	for name, tc := range map[string]struct {
		change func(*tls.Config)
		want   Reason
	}{
		"expired":           {with(a.Issue(tlstest.Expired, host)), Expired},
		"unknown authority": {with(other.Issue(nil, host)), UnknownAuthority},
		"self-signed":       {with(tlstest.SelfSigned(t, host)), UnknownAuthority},
		"wrong host":        {with(a.Issue(nil, "other.example")), WrongHost},
		"below the host":    {with(a.Issue(nil, "*."+host)), WrongHost},
		"no names":          {with(a.Issue(nil)), WrongHost},
		"not for servers":   {with(a.Issue(clientOnly, host)), BadCertificate},
		"TLS 1.0 alone":     {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }, Version},
		"TLS 1.1 alone":     {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, Version},
		"other protocols":   {func(c *tls.Config) { c.NextProtos = []string{"smtp"} }, ALPN},
		"wants a client certificate": {func(c *tls.Config) {
			c.MaxVersion, c.ClientAuth, c.ClientCAs = tls.VersionTLS12, tls.RequireAndVerifyClientCert, a.Pool()
		}, Handshake}, // handshake_failure says no more
		"fails itself": {func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("no") }
			c.Certificates = nil
		}, ServerFailed},
	} {
		t.Run(name, func(t *testing.T) {
			config := serverConfig(a)
			tc.change(config)
			_, err := connect(t, trusting(t, a), listenTLS(t, config, echo), HTTP1)
			wantReason(t, err, tc.want)
		})
	}
}

func wantReason(t *testing.T, err error, want Reason) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != want {
		t.Fatalf("got %v, want %q", err, want)
	}
	if failed.Final() != (want != ServerFailed) {
		t.Errorf("final: %v", failed.Final())
	}
}

func TestHTTP2IsInsistedOn(t *testing.T) {
	a := tlstest.New(t)
	config := serverConfig(a)
	config.NextProtos = nil
	_, err := connect(t, trusting(t, a), listenTLS(t, config, echo), HTTP2)
	wantReason(t, err, ALPN)
}

// A client that lacks what it needs connects to nobody, rather than to anybody.
func TestNothingIsTrustedByAccident(t *testing.T) {
	a := tlstest.New(t)
	to := listenTLS(t, serverConfig(a), echo)
	if _, err := NewClient(nil, nil); err == nil {
		t.Error("a client without roots was made")
	}
	trusted, err := NewClient(a.Pool(), nil)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := ParseRoots(nil)
	if err != nil {
		t.Fatal(err)
	}
	none, err := NewClient(empty, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		server *Server
		want   Reason
	}{
		"zero":        {(&Client{}).Server(host), NoRoots},
		"unable":      {Unable(NoKeyPair).Server(host), NoKeyPair},
		"no name":     {trusted.Server(""), NoName},
		"empty roots": {none.Server(host), UnknownAuthority},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := connect(t, tc.server, to, HTTP1)
			wantReason(t, err, tc.want)
		})
	}
}

func TestAnAddressIsVerifiedAsOne(t *testing.T) {
	a := tlstest.New(t)
	config := serverConfig(a)
	config.Certificates = []tls.Certificate{*a.Issue(nil, "127.0.0.1")}
	to := listenTLS(t, config, echo)
	client, _ := NewClient(a.Pool(), nil)
	c, err := connect(t, client.Server("127.0.0.1"), to, HTTP1)
	if err != nil || c.Info().Peer == nil {
		t.Fatal(err)
	}
	_, err = connect(t, client.Server("127.0.0.2"), to, HTTP1)
	wantReason(t, err, WrongHost)
}

// What is no failure of TLS is distinguished: it may go better the next time.
func TestSocketsThatFailInTheHandshake(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(net.Conn)
		want  error
	}{
		"closes": {func(c net.Conn) { readSome(c); _ = c.Close() }, io.EOF},
		"resets": {func(c net.Conn) { readSome(c); _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, syscall.ECONNRESET},
		"closes in a record": {func(c net.Conn) {
			readSome(c)
			_, _ = c.Write([]byte{22, 3, 3, 0, 80, 2})
			_ = c.Close()
		}, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := connect(t, trusting(t, tlstest.New(t)), listen(t, tc.serve), HTTP1)
			var failed *Error
			var stage *transport.HandshakeError
			if !errors.Is(err, tc.want) || errors.As(err, &failed) || !errors.As(err, &stage) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func readSome(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }

func TestServersThatDoNotSpeakTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		says string
		want Reason
	}{
		"HTTP":              {"HTTP/1.1 400 Bad Request\r\n\r\n", NotTLS},
		"a banner":          {"220 mail.example ESMTP\r\n", NotTLS},
		"an unknown record": {"\x63\x03\x03\x00\x05hello", NotTLS},
		"no hello":          {"\x16\x03\x03\x00\x04\x0e\x00\x00\x00", Handshake},
		"too long a record": {"\x16\x03\x03\xff\xff", Handshake},
		"a bad alert":       {"\x15\x03\x03\x00\x03\x02\x28\x00", Handshake},
	} {
		t.Run(name, func(t *testing.T) {
			to := listen(t, func(c net.Conn) {
				readSome(c)
				_, _ = c.Write([]byte(tc.says))
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			})
			_, err := connect(t, trusting(t, tlstest.New(t)), to, HTTP1)
			wantReason(t, err, tc.want)
		})
	}
}

// Every alert is one of the reasons, and a Reason is never empty.
func TestEveryAlertHasAReason(t *testing.T) {
	known := map[Reason]bool{}
	for _, r := range Reasons {
		known[r] = true
	}
	for alert := range 256 {
		to := listen(t, func(c net.Conn) {
			readSome(c)
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, byte(alert)})
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		})
		_, err := connect(t, trusting(t, tlstest.New(t)), to, HTTP1)
		var failed *Error
		switch {
		case alert == 0: // close_notify
			if !errors.Is(err, io.EOF) {
				t.Errorf("close_notify gives %v", err)
			}
		case !errors.As(err, &failed) || !known[failed.Reason]:
			t.Errorf("alert %d gives %v", alert, err)
		}
	}
}
