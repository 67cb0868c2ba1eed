package differential

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// Both ends of HTTP/2, with every frame the script's own.

// streamsOf has server i answer every stream by a script. The script is called when the request's head has come.
func (r *run) streamsOf(i int, o http2test.Options, script func(s *h2stream)) *http2test.Server {
	r.Helper()
	o.Patience, o.Over = patience, r.securedServer
	srv := http2test.ServeOn(r, r.listen(i, serverPort), http2test.Script{Options: o, Stream: func(s *http2test.Stream) {
		head, err := s.Head()
		if err != nil {
			return
		}
		script(&h2stream{Stream: s, r: r, who: fmt.Sprintf("server %d, %s", i, head.Get(":path"))})
	}})
	r.atEnd(1, srv.Close)
	return srv
}

// atEnd has something be closed when the run ends: with the clients (0), or behind the agent (1).
func (r *run) atEnd(where int, closes func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killers[where] = append(r.killers[where], closes)
}

// speaks runs a script on a new connection that speaks HTTP/2.
func (r *run) speaks(o http2test.Options, script func(c *h2client)) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	conn, err := r.connect(ctx)
	if err != nil {
		r.seen.note("client", "cannot connect: %s", errorClass(err))
		return
	}
	o.Patience = patience
	c := &h2client{Conn: http2test.Speak(r, conn, o), r: r}
	r.atEnd(0, c.Close)
	script(c)
}

// h2client is a client's connection.
type h2client struct {
	*http2test.Conn
	r *run
}

// head are the pseudo-header fields of a request to the server.
func (c *h2client) head(method, path string, more ...string) http2test.Fields {
	return append(http2test.Head(method, c.r.authority(), path), http2test.F(more...)...)
}

// begin sends a request's head.
func (c *h2client) begin(end bool, f http2test.Fields) *h2stream {
	c.r.Helper()
	s, err := c.Request(end, f)
	check(c.r, err)
	return &h2stream{Stream: s, r: c.r, who: "client, " + f.Get(":path")}
}

// get sends a request without content.
func (c *h2client) get(path string, more ...string) *h2stream {
	return c.begin(true, c.head("GET", path, more...))
}

// post sends a request with content.
func (c *h2client) post(path, body string, more ...string) *h2stream {
	s := c.begin(false, c.head("POST", path, more...))
	_ = s.Data([]byte(body), true)
	return s
}

// leaving notes whether the client is asked to end the connection.
func (c *h2client) leaving() {
	all := c.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		if g, err := all.AwaitGoAway(); err == nil {
			c.r.seen.note("client", "is asked to open no more streams than %d: %v", g.Last, g.Code)
		}
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		c.r.seen.note("client", "stays connected")
		all.Close()
		<-done
	}
}

// h2stream is one side of a stream, which notes what it sees.
type h2stream struct {
	*http2test.Stream
	r   *run
	who string
}

func (s *h2stream) note(format string, args ...any) { s.r.seen.note(s.who, format, args...) }

// shownFields are fields as they are noted: in their order, never-indexed ones marked.
func shownFields(f http2test.Fields) string {
	var out []string
	for _, h := range f {
		mark := ""
		if h.Sensitive {
			mark = " (never indexed)"
		}
		value := h.Value
		if len(value) > 100 {
			value = show([]byte(value))
		}
		out = append(out, h.Name+": "+value+mark)
	}
	if len(out) > 40 {
		return fmt.Sprintf("%d fields, %s", len(out), show([]byte(strings.Join(out, " | "))))
	}
	return strings.Join(out, " | ")
}

// message reads a message to its end and notes all of it. It reports whether that is how it ends.
func (s *h2stream) message() bool {
	head, err := s.Head()
	interims, _ := s.Interims(0)
	for _, i := range interims {
		s.note("interim %s", shownFields(i))
	}
	if err != nil {
		s.note("no head, %s", streamEnd(err))
		return false
	}
	s.note("%s", shownFields(head))
	return s.rest()
}

// rest reads a message behind its head to its end.
func (s *h2stream) rest() bool {
	body, err := s.Body()
	s.note("body %s", show(body))
	if err != nil {
		s.note("then %s", streamEnd(err))
		return false
	}
	if trailers, _ := s.Trailers(); trailers != nil {
		s.note("trailers %s", shownFields(trailers))
	}
	return true
}

// streamEnd names how a stream has ended.
func streamEnd(err error) string {
	if code, reset := http2test.IsReset(err); reset {
		return "reset " + code.String()
	}
	if strings.Contains(err.Error(), "nothing came") {
		return "silence"
	}
	return "the end of the connection"
}

// expectReset waits for the other side to reset the stream.
func (s *h2stream) expectReset() {
	code, err := s.AwaitReset()
	if err != nil {
		s.note("is not reset: %s", streamEnd(err))
		return
	}
	s.note("is reset: %v", code)
}

// interim sends a 1xx response.
func (s *h2stream) interim(status string, more ...string) {
	_ = s.Headers(false, append(http2test.F(":status", status), http2test.F(more...)...))
}

// answer sends a whole response.
func (s *h2stream) answer(status int, body string, more ...string) {
	_ = s.Respond(status, []byte(body), http2test.F(more...))
}

// overHTTP2 is a scenario in which a client follows a script, and a server another one for each stream.
func overHTTP2(name string, client func(c *h2client), server func(s *h2stream)) scenario {
	return scenario{name: name, kinds: h2Kinds, play: func(r *run) {
		r.streamsOf(0, http2test.Options{}, server)
		r.speaks(http2test.Options{}, client)
	}}
}
