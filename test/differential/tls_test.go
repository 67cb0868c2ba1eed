package differential

import (
	"bytes"
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"time"
)

// TLS that pods speak by themselves. It is passed through, however its ClientHello looks and arrives.

// handshakes is a scenario in which both ends shake hands and then speak.
func handshakes(name string, client func(c *tls.Config, conn *cutting), server func(c *tls.Config)) scenario {
	return scenario{name: name, kinds: tlsKinds, play: func(r *run) {
		served := &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS10}
		if server != nil {
			server(served)
		}
		r.serve(0, func(p *peer) {
			c := tls.Server(p.conn, served)
			p.await()
			if err := c.Handshake(); err != nil {
				p.note("no handshake: %s", tlsError(err))
				return
			}
			s := c.ConnectionState()
			p.note("%s, asked for %q and offered %q, %d certificates", tls.VersionName(s.Version), s.ServerName, s.NegotiatedProtocol, len(s.PeerCertificates))
			b, err := io.ReadAll(c)
			p.note("hears %s, then %s", show(b), tlsError(err))
			_, _ = c.Write([]byte("yes, " + noise(40_000)))
			_ = c.Close()
		})
		r.client(func(p *peer) {
			config := &tls.Config{RootCAs: trusted(), ServerName: serverName, MinVersion: tls.VersionTLS12}
			conn := &cutting{Conn: p.conn}
			client(config, conn)
			c := tls.Client(conn, config)
			p.await()
			if err := c.Handshake(); err != nil {
				p.note("no handshake: %s", tlsError(err))
				return
			}
			_, _ = c.Write([]byte(noise(30_000)))
			_ = c.CloseWrite()
			b, err := io.ReadAll(c)
			p.note("%s, hears %s, then %s", tls.VersionName(c.ConnectionState().Version), show(b), tlsError(err))
		})
	}}
}

func tlsError(err error) string {
	switch {
	case err == nil:
		return "end"
	case strings.HasPrefix(errorClass(err), "read ") || strings.HasPrefix(errorClass(err), "write "):
		return "an error"
	}
	return errorClass(err)
}

// says is a scenario in which a client says something that may be a ClientHello, and the server nothing but that it heard it.
func says(name string, hello func() []byte, kinds ...kind) scenario {
	if kinds == nil {
		kinds = tlsKinds
	}
	return scenario{name: name, kinds: kinds, play: func(r *run) {
		r.serve(0, func(p *peer) { p.rest(); p.say("\x15\x03\x03\x00\x02\x02\x28") })
		r.client(func(p *peer) { p.send(hello()); p.finish(); p.rest() })
	}}
}

func tlsScenarios() []scenario {
	version := func(v uint16) func(*tls.Config, *cutting) {
		return func(c *tls.Config, _ *cutting) { c.MaxVersion = v }
	}
	cut := func(pause time.Duration, pieces ...int) func(*tls.Config, *cutting) {
		return func(_ *tls.Config, c *cutting) { c.pause, c.pieces = pause, pieces }
	}
	named := func(name string) func(*tls.Config, *cutting) {
		return func(c *tls.Config, _ *cutting) { c.ServerName, c.InsecureSkipVerify = name, true }
	}
	return slices.Concat([]scenario{
		handshakes("tls-1.3", version(tls.VersionTLS13), nil),
		handshakes("tls-1.2", version(tls.VersionTLS12), nil),
		handshakes("hello-without-post-quantum-keys", func(c *tls.Config, _ *cutting) { c.CurvePreferences = []tls.CurveID{tls.X25519} }, nil),
		handshakes("hello-byte-by-byte", cut(time.Millisecond, slices.Repeat([]int{1}, 100)...), nil),
		handshakes("hello-that-pauses-in-its-first-record-header", cut(300*time.Millisecond, 3), nil),
		handshakes("hello-that-pauses-in-the-middle", cut(300*time.Millisecond, 200, 700), nil),
		handshakes("hello-in-many-records", func(_ *tls.Config, c *cutting) { c.size = 40 }, nil),
		handshakes("hello-in-records-and-packets", func(_ *tls.Config, c *cutting) {
			c.size, c.pieces, c.pause = 100, []int{7, 100, 400}, 20*time.Millisecond
		}, nil),
		handshakes("hello-of-20-kilobytes", func(c *tls.Config, _ *cutting) {
			for i := range 80 {
				c.NextProtos = append(c.NextProtos, "x"+noise(200)+string(rune('a'+i%26)))
			}
		}, nil),
		handshakes("hello-without-a-name", named(""), nil),
		handshakes("hello-for-another-name", named("elsewhere.example"), nil),
		handshakes("hello-in-capitals", named(strings.ToUpper(serverName)), nil),
		handshakes("hello-that-offers-h2", func(c *tls.Config, _ *cutting) { c.NextProtos = []string{"h2", "http/1.1"} }, func(c *tls.Config) { c.NextProtos = []string{"h2"} }),
		handshakes("client-certificate", func(c *tls.Config, _ *cutting) { c.Certificates = []tls.Certificate{certificate()} },
			func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }),
		handshakes("client-certificate-that-is-missing", func(*tls.Config, *cutting) {}, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }),
		handshakes("certificate-that-is-not-trusted", func(c *tls.Config, _ *cutting) { c.RootCAs = nil }, nil),
		handshakes("no-common-version", version(tls.VersionTLS12), func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }),
	}, helloScenarios(), tlsNeighbourScenarios())
}

func helloScenarios() []scenario {
	hello := theHello
	return []scenario{
		says("hello-with-ech", func() []byte { return withExtension(hello(), 0xfe0d, []byte(noise(300))) }),
		says("hello-with-unknown-extensions", func() []byte { return withExtension(withExtension(hello(), 0x0a0a, nil), 0xfafa, []byte{0}) }),
		says("hello-that-ends-in-the-middle", func() []byte { return hello()[:300] }),
		says("hello-of-an-old-record-version", func() []byte { b := bytes.Clone(hello()); b[2] = 0; return b }),
		says("hello-of-an-unknown-record-version", func() []byte { b := bytes.Clone(hello()); b[2] = 9; return b }),
		says("hello-with-something-behind-it", func() []byte { return append(bytes.Clone(hello()), "\x14\x03\x03\x00\x01\x01and more"...) }),
		says("hello-of-ssl-2", func() []byte { return []byte("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + noise(37)) }),
		says("empty-records-before-the-hello", func() []byte { return append([]byte("\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00"), hello()...) }),
		says("hello-with-lengths-that-lie", func() []byte { b := bytes.Clone(hello()); b[7], b[44] = 0xff, 0xff; return b }),
		says("a-record-that-is-no-hello", func() []byte { return []byte("\x16\x03\x01\x00\x20\x02" + noise(31)) }),
		says("an-alert-at-once", func() []byte { return []byte("\x15\x03\x01\x00\x02\x02\x28") }),
		says("a-first-byte-and-no-more", func() []byte { return []byte{0x16} }),
	}
}

// tlsNeighbourScenarios are about connections that go on for long, break, or whose server says nothing.
func tlsNeighbourScenarios() []scenario {
	start := func(r *run) {
		r.serve(0, func(p *peer) {
			c := tls.Server(p.conn, &tls.Config{Certificates: []tls.Certificate{certificate()}})
			b := make([]byte, 4)
			for {
				p.await()
				if _, err := io.ReadFull(c, b); err != nil {
					p.note("hears no more: %s", tlsError(err))
					return
				}
				switch string(b) {
				case "ping":
					_, _ = c.Write([]byte("pong"))
				case "rset":
					p.reset()
					return
				case "bye!":
					_ = c.Close()
					return
				}
			}
		})
	}
	talk := func(name string, words ...string) scenario {
		return scenario{name: name, kinds: tlsKinds, play: func(r *run) {
			start(r)
			r.client(func(p *peer) {
				c := tls.Client(p.conn, &tls.Config{RootCAs: trusted(), ServerName: serverName})
				for _, word := range words {
					if word == "" {
						time.Sleep(2500 * time.Millisecond)
						continue
					}
					p.await()
					_, _ = c.Write([]byte(word))
					b := make([]byte, 4)
					n, err := io.ReadFull(c, b)
					p.note("hears %q, %s", b[:n], tlsError(err))
				}
				_ = c.Close()
			})
		}}
	}
	return []scenario{
		talk("idle-in-the-middle", "ping", "", "ping"),
		talk("server-closes", "ping", "bye!"),
		talk("server-resets", "ping", "rset"),
		{name: "server-that-speaks-http", kinds: tlsKinds, play: func(r *run) {
			r.serve(0, func(p *peer) {
				p.await()
				_, _ = p.in.Peek(1)
				p.say("HTTP/1.1 400 Bad Request\r\n\r\n")
				p.gone(4 * time.Second)
			})
			r.client(func(p *peer) {
				p.await()
				err := tls.Client(p.conn, &tls.Config{RootCAs: trusted(), ServerName: serverName}).Handshake()
				p.note("no handshake: %s", tlsError(err))
			})
		}},
		{name: "server-that-says-nothing", kinds: tlsKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.gone(4 * time.Second) })
			r.client(func(p *peer) {
				p.wait(time.Second).await()
				err := tls.Client(p.conn, &tls.Config{RootCAs: trusted(), ServerName: serverName}).Handshake()
				p.note("no handshake: %s", tlsError(err))
			})
		}},
		{name: "nobody-listens", kinds: []kind{headless, host, serviceTLS}, play: func(r *run) {
			r.client(func(p *peer) { p.send(theHello()); p.rest() })
		}, differs: []difference{connectedThenReset}},
	}
}
