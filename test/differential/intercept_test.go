package differential

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Where the agent ends the TLS of a pod that trusts it (tls.mode: Intercept) a call is the same as without the agent, down to how connections end.

func interceptScenarios() []scenario {
	h1, h2, grpc := intercepted(v1alpha1.ProtocolHTTP), intercepted(v1alpha1.ProtocolHTTP2), intercepted(v1alpha1.ProtocolGRPC)
	return slices.Concat(
		played("methods", h1, methodScenarios(), "get", "head", "post", "many-fields-of-one-name"),
		played("answers", h1, answerScenarios(), "304", "chunked-with-extensions-and-trailers", "until-close", "close-is-kept", "server-closes-without-saying", "interim-103"),
		played("kept", h1, keptScenarios(), "ten-in-a-row", "pipelined", "mixed-methods", "server-ends-an-idle-connection", "server-resets-instead-of-the-second-answer",
			"server-ends-instead-of-the-first-answer-to-a-post", "server-resets-instead-of-the-first-answer", "unasked-bytes-behind-an-answer", "two-hosts-on-one-connection"),
		played("uploads", h1, uploadScenarios(), "of-a-megabyte", "in-chunks-with-trailers", "200-at-once-to-an-upload-in-chunks", "413-before-its-end-and-the-server-reads-on",
			"client-resets-in-the-middle", "client-ends-in-the-middle", "expect-and-continue", "expect-and-refusal"),
		played("streams", h1, streamScenarios(), "server-ends-between-chunks", "server-resets-in-the-middle", "server-resets-what-goes-until-its-end", "server-ends-in-the-middle-of-the-head"),
		played("tunnels", h1, tunnelScenarios(), "websocket", "websocket-half-closed-by-the-client", "websocket-that-the-server-resets", "websocket-with-much-both-ways"),
		played("http2-ends", h2, http2EndScenarios(), "server-resets-in-the-middle", "server-resets-an-upload", "a-stream-that-is-refused-once", "client-resets-an-upload",
			"client-leaves-with-streams-open", "server-goes-away", "server-goes-away-under-a-call", "server-breaks-under-an-answer", "server-closes-under-an-answer"),
		played("grpc", grpc, grpcScenarios(), "unary", "statuses", "deadline", "cancel", "ping-pong", "client-streaming-that-is-refused", "server-that-stops-gracefully-under-a-stream"),
		tlsEndScenarios(h1), alpnScenarios(),
	)
}

// tlsEndScenarios are about ends that only TLS has.
func tlsEndScenarios(k kind) []scenario {
	return []scenario{
		one("server-cuts-what-goes-until-its-end", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\n\r\nonly this")
			q.p.cut()
		}).under(k).but(cutTLSIsReset),
		one("server-cuts-a-body-of-a-known-length", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
			q.p.cut()
		}).under(k).but(cutTLSIsReset),
		one("server-cuts-an-idle-connection", func(p *peer) {
			p.ask("GET", "/")
			p.r.mark("answered")
			p.over()
		}, func(q *request) {
			q.answer(200, "yes")
			q.p.r.after("answered")
			q.p.cut()
		}).under(k).but(endIsAnnounced),
		one("client-ends-its-side-and-gets-its-answer", func(p *peer) {
			p.say(p.r.to("GET", "/"))
			p.finish()
			p.r.mark("finished")
			p.response()
			p.rest()
		}, func(q *request) { q.p.r.after("finished"); q.answer(200, "yes"); q.close() }).under(k),
		one("client-cuts-an-upload", func(p *peer) {
			p.say(p.r.to("POST", "/up", length(1000)) + "abc")
			p.r.after("begun")
			p.cut()
			p.r.after("over")
		}, func(q *request) {
			q.p.hear(3)
			q.p.r.mark("begun")
			q.p.gone(patience)
			q.p.r.mark("over")
			q.p.ended = "over"
		}).under(k),
	}
}

// alpnScenarios are about what client and server agree on where the policy leaves it open.
func alpnScenarios() []scenario {
	agree := func(name string, client, server []string) scenario {
		return scenario{name: "alpn-" + name, kinds: []kind{interceptedAuto}, play: func(r *run) {
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				r.seen.note("server", "%s, agreed on %q", q.Proto, q.TLS.NegotiatedProtocol)
				_, _ = io.WriteString(w, "yes")
			})}
			config := &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: server}
			srv.Protocols = new(http.Protocols)
			srv.Protocols.SetHTTP1(true)
			srv.Protocols.SetHTTP2(slices.Contains(server, "h2"))
			l := r.listen(0, serverPort)
			done := make(chan struct{})
			go func() { defer close(done); _ = srv.Serve(tls.NewListener(l, config)) }()
			r.atEnd(1, func() { _ = srv.Close(); <-done })
			for range 2 {
				r.agreesOn(client)
			}
		}}
	}
	both, h1, h2 := []string{"h2", "http/1.1"}, []string{"http/1.1"}, []string{"h2"}
	return []scenario{
		agree("both", both, both), agree("the-server-http1", both, h1), agree("the-server-h2", both, h2), agree("the-server-none", both, nil).but(takenForHTTP1("client")),
		agree("the-client-http1", h1, both), agree("the-client-h2", h2, both), agree("the-client-none", nil, both).but(takenForHTTP1("server")), agree("neither", nil, nil),
	}
}

// interceptedAuto leaves it to ALPN what is spoken.
var interceptedAuto = intercepted(v1alpha1.ProtocolAuto)

// agreesOn makes a call by what the client and the server agree on.
func (r *run) agreesOn(offered []string) {
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	c, err := r.reach(ctx, r.addr())
	check(r, err)
	r.atEnd(0, func() { _ = c.Close() })
	s, err := r.securedClient(ctx, c, offered...)
	if err != nil {
		r.seen.note("client", "no handshake: %s", tlsError(err))
		return
	}
	alpn := s.ConnectionState().NegotiatedProtocol
	r.seen.note("client", "agreed on %q", alpn)
	var conn net.Conn = s
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return struct{ net.Conn }{conn}, nil }}
	tr.Protocols.SetHTTP1(alpn != "h2")
	tr.Protocols.SetUnencryptedHTTP2(alpn == "h2")
	r.atEnd(0, tr.CloseIdleConnections)
	q, err := http.NewRequestWithContext(ctx, "GET", "http://"+r.authority()+"/", nil)
	check(r, err)
	res, err := tr.RoundTrip(q)
	if err != nil {
		r.seen.note("client", "no answer: %s", errorClass(err))
		return
	}
	b, _ := io.ReadAll(bufio.NewReader(res.Body))
	_ = res.Body.Close()
	r.seen.note("client", "%s %s %q", res.Proto, res.Status, b)
}

var (
	// cutTLSIsReset is cutIsReset for ends that TLS should have announced.
	cutTLSIsReset = difference{id: cutIsReset.id, adjust: func(o *observation) {
		o.replace("client", func(l string) string { return strings.Replace(l, "then cut", "then reset", 1) })
	}}
	// takenForHTTP1: a side that says nothing by ALPN is taken to have said HTTP/1.1 to the other one.
	takenForHTTP1 = func(actor string) difference {
		return difference{id: "no-alpn-is-http-1.1", adjust: func(o *observation) {
			o.replace(actor, func(l string) string { return strings.Replace(l, `agreed on ""`, `agreed on "http/1.1"`, 1) })
		}}
	}
	// endIsAnnounced: the agent announces the end of a connection that it passes on, whether or not the server did.
	endIsAnnounced = difference{id: "ends-are-announced", adjust: func(o *observation) {
		o.replace("client", func(l string) string { return strings.Replace(l, "is cut", "is ended", 1) })
	}}
)
