package differential

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// request is a request as a server script sees it.
type request struct {
	p      *peer
	raw    string
	method string
	target string
	fields fields
}

// fields are the lines of a head behind the first, as they came.
type fields []string

// get returns the value of the first field of that name.
func (f fields) get(name string) string {
	for _, l := range f {
		if n, v, ok := strings.Cut(l, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// hop are fields that speak of the connection and not of the message. A proxy must not forward them (RFC 9110 section 7.6.1), so they
// are left out of what is compared; the scenarios about them look at whole heads.
var hop = []string{"connection", "keep-alive", "proxy-connection"}

func readable(raw string) (first string, fs fields, shown string) {
	lines := strings.Split(strings.TrimRight(raw, "\r\n"), "\n")
	var out []string
	for i, l := range lines {
		l = strings.TrimSuffix(l, "\r")
		if i == 0 {
			first = l
			out = append(out, l)
			continue
		}
		fs = append(fs, l)
		name, _, _ := strings.Cut(l, ":")
		skip := false
		for _, h := range hop {
			skip = skip || strings.EqualFold(strings.TrimSpace(name), h)
		}
		if !skip {
			out = append(out, l)
		}
	}
	shown = strings.Join(out, " | ")
	if len(shown) > 1000 {
		shown = show([]byte(shown))
	}
	return first, fs, shown
}

// web has server i read requests, note them and handle them one after the other. Which connection a request came on is not noted:
// fairlead keeps connections of its own to servers.
func (r *run) web(i int, handle func(q *request)) {
	r.serve(i, func(p *peer) { r.requests(p, fmt.Sprintf("server %d", i), handle) })
}

func (r *run) requests(p *peer, who string, handle func(q *request)) {
	p.who = who
	for {
		p.patience = cmp.Or(p.keep, time.Minute)
		raw, err := p.readHead()
		if err != nil {
			if raw != "" {
				p.note("an unfinished request %s, then %s", show([]byte(raw)), errorClass(err))
			}
			return
		}
		first, fs, shown := readable(raw)
		p.note("gets %s", shown)
		q := &request{p: p, raw: raw, fields: fs}
		words := strings.SplitN(first, " ", 3)
		if len(words) > 1 {
			q.method, q.target = words[0], words[1]
		}
		p.patience = patience
		handle(q)
		if p.ended != "" {
			return
		}
	}
}

// body reads the request's body and notes it.
func (q *request) body() { q.p.body(q.fields, false) }

// answer answers.
func (q *request) answer(status int, body string) {
	q.p.say(fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, reason(status), len(body), body))
}

// close ends the connection behind an answer.
func (q *request) close() {
	q.p.close()
	q.p.ended = "closed"
}

func reason(status int) string { return "Status " + strconv.Itoa(status) }

// body reads a body as the head frames it, and notes it decoded.
func (p *peer) body(f fields, untilEnd bool) bool {
	d := newDigest()
	var err error
	p.await()
	switch {
	case strings.EqualFold(f.get("Transfer-Encoding"), "chunked"):
		err = p.chunks(d)
	case f.get("Content-Length") != "":
		n, _ := strconv.ParseInt(f.get("Content-Length"), 10, 64)
		err = p.copyN(d, n)
	case untilEnd:
		p.rest()
		return true
	default:
		return true
	}
	if err == nil {
		p.note("body %s", d)
		return true
	}
	p.ended = errorClass(err)
	p.note("a part of the body %s, then %s", d, p.ended)
	return false
}

// copyN copies with patience for each piece.
func (p *peer) copyN(d *digest, n int64) error {
	for n > 0 {
		p.await()
		k, err := io.CopyN(d, p.in, min(n, 64<<10))
		n -= k
		if err != nil {
			return err
		}
	}
	return nil
}

// chunks reads a chunked body. Where it was cut is not noted, its trailers are.
func (p *peer) chunks(d *digest) error {
	for {
		p.await()
		line, err := p.in.ReadString('\n')
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
		if err != nil {
			return fmt.Errorf("the chunk size %q is not one", line)
		}
		if n == 0 {
			return p.trailers()
		}
		if err := p.copyN(d, n); err != nil {
			return err
		}
		if _, err := p.in.ReadString('\n'); err != nil {
			return err
		}
	}
}

func (p *peer) trailers() error {
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			return err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return nil
		}
		p.note("trailer %s", line)
	}
}

// response reads one final response, with the interim ones before it, and notes it: the head without what speaks of the connection, and
// the body decoded.
func (p *peer) response() bool { return p.responseTo("GET") }

func (p *peer) responseTo(method string) bool {
	for {
		raw, err := p.readHead()
		if err != nil {
			return p.heard([]byte(raw), err)
		}
		first, fs, shown := readable(raw)
		p.note("answer %s", shown)
		status := 0
		if words := strings.Fields(first); len(words) > 1 {
			status, _ = strconv.Atoi(words[1])
		}
		switch {
		case status == 101:
			return true
		case status >= 100 && status < 200:
			continue
		case method == "HEAD" || status == 204 || status == 304 || method == "CONNECT" && status < 300:
			return true
		}
		return p.body(fs, true)
	}
}

// responseHeadOnly reads the head of a response.
func (p *peer) responseHeadOnly() {
	raw, err := p.readHead()
	_, _, shown := readable(raw)
	p.note("answer %s %s", shown, errorClass(err))
	p.r.mark("answer read")
}

// to writes a request's head with its end.
func (r *run) to(method, target string, more ...string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, r.authority())
	for _, m := range more {
		b.WriteString(m + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// ask sends a request without a body and reads its response.
func (p *peer) ask(method, target string, more ...string) bool {
	return p.say(p.r.to(method, target, more...)) && p.responseTo(method)
}

// chunk is one chunk of a body.
func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

const lastChunk = "0\r\n\r\n"

// length is a Content-Length field.
func length(n int) string { return "Content-Length: " + strconv.Itoa(n) }

// ok is an answer.
func ok(body string, more ...string) string { return answerOf("200 OK", body, more...) }

func answerOf(status, body string, more ...string) string {
	lines := append([]string{"HTTP/1.1 " + status, length(len(body))}, more...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}
