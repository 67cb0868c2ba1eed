package proxy

import (
	"context"
	"errors"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
	"fairlead.dev/fairlead/internal/agent/proxy/detect"
	"fairlead.dev/fairlead/internal/agent/proxy/drive"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
)

const (
	// acceptWait is how long a client's handshake may take.
	acceptWait = 10 * time.Second
	// closedAtOnce is how soon after its handshake a client that has sent nothing closes because it does not like the certificate: some check
	// it only then, and say nothing.
	closedAtOnce = time.Second
)

// ended is what becomes of a connection whose client speaks TLS.
type ended uint8

const (
	// passedOn: it is passed through as it is.
	passedOn ended = iota
	// forHTTP1 and forHTTP2: its TLS has ended here, and it is served.
	forHTTP1
	forHTTP2
	// failed: its handshake has.
	failed
)

// intercepted is TLS of a client that has ended here.
type intercepted struct {
	route *routes.Route
	layer *tlslayer.Layer
	since time.Time
}

// identifyTLS finds out for which name a TLS connection is, where that matters, and ends its TLS here if the policy that governs the name says
// so. why is why it is passed on, if it is.
func (c *connection) identifyTLS() (_ ended, why Passed) {
	if !c.routes.NeedsName() {
		return passedOn, PassedTLS
	}
	hello, err := detect.WaitHello(&c.session, &c.session)
	c.routes.NameWhole(hello.Name)
	if err != nil {
		return failed, PassedTLS
	}
	r, ok := c.routes.Interceptable()
	if !ok {
		return passedOn, PassedTLS
	}
	end, h := c.intercept(r, &hello)
	if h != routes.HandshakeDone { // which its first request shows
		r.HandshakeEnded(h, time.Now())
	}
	switch h {
	case routes.HandshakeSpared:
		why = PassedDistrust
	case routes.HandshakeWithoutIssuer:
		why = PassedNoIssuer
	case routes.HandshakeDone, routes.HandshakeDistrusted, routes.HandshakeFailed, routes.HandshakeDeclined, routes.HandshakeCount:
		why = PassedTLS
	}
	return end, why
}

// intercept ends the client's TLS here, and prepares the connection to be served.
func (c *connection) intercept(r *routes.Route, hello *detect.Hello) (ended, routes.Handshake) {
	switch {
	case !r.Intercepting():
		return passedOn, routes.HandshakeSpared
	case !r.Certifies(hello.Name, time.Now()): // before the host is asked what it speaks, which may take a while
		return passedOn, routes.HandshakeWithoutIssuer
	}
	config, err := r.ServerConfig(hello.Name, c.protocolFor(r, hello), time.Now())
	if err != nil {
		return passedOn, routes.HandshakeWithoutIssuer
	}
	var layer *tlslayer.Layer
	panics.Aside(func() { // a handshake needs a large stack, which would stay with the idle connection
		layer, err = tlslayer.Accept(c.client.Conn, c.session.Buffered(), config, time.Now().Add(acceptWait))
	})
	var distrust *tlslayer.Distrust
	switch {
	case err == nil:
	case errors.Is(err, tlslayer.ErrDeclined):
		return passedOn, routes.HandshakeDeclined
	case errors.As(err, &distrust):
		return failed, routes.HandshakeDistrusted
	default:
		return failed, routes.HandshakeFailed
	}
	c.session.Restart()
	c.routes.Intercept(r)
	c.intercepted = &intercepted{route: r, layer: layer, since: time.Now()}
	if layer.Info().ALPN == tlslayer.HTTP2 {
		c.serveHTTP2()
		return forHTTP2, routes.HandshakeDone
	}
	return forHTTP1, routes.HandshakeDone
}

// protocolFor returns which protocol (an ALPN) the client is to agree on, if it will: the policy's, or else what it would agree on with the host.
// Of two that it offers the host chooses, which is asked for that if it is not known; where that fails, HTTP/1.1 is the one that every host is
// called in whose clients offer nothing.
func (c *connection) protocolFor(r *routes.Route, hello *detect.Hello) string {
	switch {
	case r.DeclaredHTTP2(), !r.DeclaredHTTP1() && hello.HTTP2 && !hello.HTTP1:
		return tlslayer.HTTP2
	case r.DeclaredHTTP1(), !hello.HTTP2:
		return tlslayer.HTTP1
	}
	there := drive.NewWhileThere(&c.client, time.Now().Add(acceptWait), context.DeadlineExceeded)
	defer there.Stop()
	var chosen string
	panics.Aside(func() { chosen = drive.Speaks(there, r, &c.client, c.routes.Governing().Pinned) })
	there.Raise()
	if chosen == "" {
		return tlslayer.HTTP1
	}
	return chosen
}

// served is called when the connection has ended. A client that has closed it within a time, and has said nothing, has not accepted the
// certificate, as far as its other connections do not show otherwise. i may be nil.
func (i *intercepted) served(client *drive.Client, within time.Duration) {
	if i == nil || i.layer.Opened() || client.Conn.Interrupted() {
		return
	}
	if now := time.Now(); now.Sub(i.since) < within {
		i.route.ClosedUnused(i.since, now, within)
	}
}
