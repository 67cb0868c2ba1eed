package http1test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Exchange is a request as it may come from a client, and the responses to it as they may come from a server: interim ones and a
// final one, each good by the book.
type Exchange struct {
	Request   string
	Responses []string
	// Odd holds the same responses in the ways in which servers break the rules without a doubt about what they mean.
	Odd []string
	// Ends says that the final response ends with its connection.
	Ends bool
}

// Generator makes exchanges. The same source makes the same ones.
type Generator struct{ *rand.Rand }

// Exchange makes an exchange. last says that nothing follows on the connection, which allows bodies that last until its end and
// tunnels.
func (g Generator) Exchange(last bool) Exchange {
	method := g.pick("GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "M-SEARCH", "X")
	if last && g.chance(10) {
		method = "CONNECT"
	}
	minor := 1
	if g.chance(6) {
		minor = 0
	}
	x := Exchange{Request: g.request(method, minor)}
	for minor == 1 && g.chance(4) && len(x.Responses) < 3 {
		x.add(g, g.head(g.pick("100 Continue", "103 Early Hints", "102 Processing", "199"), 1, ""))
	}
	g.final(&x, method, minor, last)
	return x
}

func (x *Exchange) add(g Generator, head string) {
	x.Responses, x.Odd = append(x.Responses, head), append(x.Odd, g.oddHead(head))
}

func (g Generator) chance(oneIn int) bool { return g.IntN(oneIn) == 0 }

func (g Generator) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g Generator) request(method string, minor int) string {
	var b strings.Builder
	if g.chance(10) {
		b.WriteString(g.pick("\r\n", "\r\n\r\n"))
	}
	target, host := g.target(method)
	fmt.Fprintf(&b, "%s %s HTTP/1.%d\r\n", method, target, minor)
	fields := g.fields(true)
	if minor == 1 || g.chance(2) {
		fields = append(fields, g.pick("Host", "host", "HOST")+": "+host)
	}
	chunked, body := false, ""
	switch n := g.IntN(6); {
	case method == "CONNECT", n < 2:
	case n == 2 && minor == 1:
		chunked = true
		fields = append(fields, g.pick("Transfer-Encoding: chunked", "transfer-encoding:Chunked \t"))
	default:
		body = g.body()
		fields = append(fields, fmt.Sprintf("Content-Length: %s%d", g.pick("", "", "00"), len(body)))
		if g.chance(10) {
			fields = append(fields, fmt.Sprintf("content-length:%d", len(body)))
		}
	}
	g.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	b.WriteString("\r\n" + body)
	if chunked {
		_, wire, _ := g.chunks()
		b.WriteString(wire)
	}
	return b.String()
}

func (g Generator) target(method string) (target, host string) {
	host = g.pick("a", "a:80", "b.example", "[::1]:8080", "")
	switch {
	case method == "CONNECT":
		return g.pick("c:443", "[::1]:1", "d.example:65535"), host
	case method == "OPTIONS" && g.chance(3):
		return "*", host
	case g.chance(10):
		return "http://" + g.pick("a", "c.example:8080", "[::1]") + g.pick("", "/", "/x?y", "?z"), host
	}
	return "/" + g.pick("", "a", "a/b?c=d&e=%20", "\xc3\xa4", "//x", strings.Repeat("long", 30)), host
}

// fields makes field lines without those that frame the message.
func (g Generator) fields(request bool) (lines []string) {
	for range g.IntN(5) {
		lines = append(lines, g.pick("X-One", "x-two", "Accept", "A", "Cookie", "x-Long-Name-Of-A-Field")+":"+g.pick("", " ", "\t ")+
			g.pick("", "1", "two words", "a, b", "\xe4\xf6", "GET / HTTP/1.1", strings.Repeat("v", 40))+g.pick("", "", " \t"))
	}
	if g.chance(3) {
		lines = append(lines, "Connection: "+g.pick("keep-alive", "close", "X-One", "x-one, X-Two", "te", "Trailer, keep-alive",
			"a,,accept", "host, content-length, transfer-encoding", "expect", "upgrade, T", "Max-Forwards", ", "))
	}
	if g.chance(20) {
		lines = append(lines, "Connection: "+strings.Repeat("n, X-One,", 1+g.IntN(30)))
	}
	if g.chance(6) {
		lines = append(lines, g.pick("Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "TE: gzip;q=0.5, trailers", "TE: gzip",
			"HTTP2-Settings: AAA", "Trailer: T", "Max-Forwards: 10", "Max-Forwards: 3", "Max-Forwards: x"))
	}
	if g.chance(8) {
		lines = append(lines, "Upgrade: "+g.pick("websocket", "h2c", "h2c,", ",H2C", "h2c, websocket", "x/1, h2c, y"), "Connection: Upgrade, HTTP2-Settings")
		if g.chance(4) {
			lines = append(lines, "upgrade: "+g.pick("h2C", "z"))
		}
	}
	if request && g.chance(10) {
		lines = append(lines, "Expect: 100-continue")
	}
	return lines
}

// body makes content, some of which looks like messages.
func (g Generator) body() string {
	return g.pick("", "x", "hello", "\r\n", "0\r\n\r\n", "GET /in-body HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
		strings.Repeat("0123456789", g.IntN(100)), strings.Repeat("\n", 5), string([]byte{0, 13, 10, 255}))
}

// chunks makes a chunked body: its content, its bytes on the wire, and those with oddities.
func (g Generator) chunks() (content, wire, odd string) {
	var c, w, o strings.Builder
	line := func(s, oddly string) {
		w.WriteString(s + "\r\n")
		o.WriteString(oddly + g.lineEnd())
	}
	for range g.IntN(4) {
		data := g.body()
		if data == "" {
			continue
		}
		size := strings.Repeat("0", g.IntN(3)) + fmt.Sprintf(g.pick("%x", "%X"), len(data))
		if g.chance(10) {
			size = strings.Repeat("0", 30) + size
		}
		ext := g.pick("", "", "", ";a", ";a=\"b;c\"; d", "; x")
		line(size+ext, size+g.pick("", "", " ", " \t ")+ext)
		c.WriteString(data)
		w.WriteString(data)
		o.WriteString(data)
		line("", "")
	}
	last := g.pick("0", "000", "0;end")
	line(last, last)
	for range g.IntN(3) {
		name, value := g.pick("T", "X-One", "Expires", "accept"), g.pick("", "v", "a b")
		line(name+": "+value, name+g.pick("", "", " ")+": "+value)
	}
	line("", "")
	return c.String(), w.String(), o.String()
}

// lineEnd ends a line the way odd servers do.
func (g Generator) lineEnd() string { return g.pick("\r\n", "\r\n", "\n") }

// head makes the head of a response with the field lines given.
func (g Generator) head(status string, minor int, lines ...string) string {
	all := g.fields(false)
	for _, l := range lines {
		if l != "" {
			all = append(all, l)
		}
	}
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	b := fmt.Sprintf("HTTP/1.%d %s\r\n", minor, status)
	for _, l := range all {
		b += l + "\r\n"
	}
	return b + "\r\n"
}

// final adds the final response.
func (g Generator) final(x *Exchange, method string, minor int, last bool) {
	version := 1
	if g.chance(8) {
		version = 0
	}
	status := g.pick("200 OK", "200", "404 Not Found", "500 Oh \xe4", "204 None", "304 Not Modified", "206 Part", "426 Upgrade", "999 Odd ")
	if method == "CONNECT" {
		status = g.pick("403 No", "502 No")
	}
	bodiless := method == "HEAD" || status[:3] == "204" || status[:3] == "304"
	body, n := g.body(), g.IntN(4)
	switch {
	case status[:3] == "204":
		x.add(g, g.head(status, version))
	case bodiless:
		x.add(g, g.head(status, version, g.pick("", "Content-Length: 5", "ETag: x")))
	case n == 0 && version == 1:
		_, wire, odd := g.chunks()
		x.add(g, g.head(status, version, g.pick("Transfer-Encoding: chunked", "transfer-encoding:CHUNKED")))
		at := len(x.Responses) - 1
		x.Responses[at], x.Odd[at] = x.Responses[at]+wire, x.Odd[at]+odd
	case n == 1 && last:
		x.add(g, g.head(status, version))
		at := len(x.Responses) - 1
		x.Responses[at], x.Odd[at] = x.Responses[at]+body, x.Odd[at]+body
		x.Ends = true
	default:
		x.add(g, g.head(status, version, fmt.Sprintf("Content-Length: %d", len(body))))
		at := len(x.Responses) - 1
		x.Responses[at], x.Odd[at] = x.Responses[at]+body, x.Odd[at]+body
	}
}

// oddHead writes a response's head the way servers do that break the rules without a doubt about what they mean: the fields keep
// their names and, but for the length of white space inside, their values.
func (g Generator) oddHead(head string) string {
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	var b strings.Builder
	if g.chance(10) {
		b.WriteString(g.lineEnd())
	}
	if status := lines[0][len("HTTP/1.1 "):]; g.chance(2) && (status[0] == '1' || strings.HasPrefix(status, "204")) {
		lines = append(lines, g.pick("Content-Length: 7", "Transfer-Encoding: chunked"))
	}
	for i, line := range lines {
		colon := strings.IndexByte(line, ':')
		switch {
		case i == 0:
			if g.chance(4) {
				line = strings.Replace(line, " ", g.pick("  ", "\t", " \t "), 1)
			}
			if g.chance(6) && strings.HasPrefix(line, "HTTP/1.1") {
				line = "HTTP/1." + g.pick("2", "9") + line[8:]
			}
		case g.chance(4):
			line = line[:colon] + g.pick(" ", "\t", "  ") + line[colon:]
		case g.chance(4):
			line = line[:colon+1] + g.lineEnd() + g.pick(" ", "\t ") + strings.Trim(line[colon+1:], " \t")
		case strings.EqualFold(line[:colon], "content-length") && g.chance(2):
			line += "," + line[colon+1:]
		case strings.EqualFold(line[:colon], "transfer-encoding") && g.chance(2):
			line += g.pick(", chunked", ",identity", "\r\nTransfer-Encoding: chunked", "\nContent-Length: 3", "\r\nContent-Length: x")
		}
		b.WriteString(line + g.lineEnd())
	}
	b.WriteString(g.lineEnd())
	return b.String()
}
