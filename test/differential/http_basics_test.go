package differential

import (
	"strings"
	"time"
)

// one is a scenario of one request and one answer on a connection that both would keep.
func one(name string, ask func(p *peer), answer func(q *request)) scenario {
	return scenario{name: name, kinds: httpKinds, play: func(r *run) {
		if !r.scripted {
			r.web(0, answer)
		}
		r.client(ask)
	}}
}

// asks is a client of one request without a body.
func asks(method, target string, more ...string) func(p *peer) {
	return func(p *peer) { p.ask(method, target, more...) }
}

// answers is a server that writes this, whatever is asked.
func answers(raw string) func(q *request) {
	return func(q *request) { q.body(); q.p.say(raw) }
}

// under replaces the kinds of a scenario.
func (s scenario) under(kinds ...kind) scenario {
	s.kinds = kinds
	return s
}

// but adds a difference that must remain.
func (s scenario) but(d ...difference) scenario {
	s.differs = append(s.differs, d...)
	return s
}

func methodScenarios() []scenario {
	list := []scenario{
		one("get", asks("GET", "/thing?a=1&b=%20", "X-Case: Kept", "x-lower: as sent", "Accept: */*"), answers(ok("a thing", "X-Answer: Yes", "x-lower: too"))),
		one("head", asks("HEAD", "/thing"), answers("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")),
		one("head-without-length", asks("HEAD", "/thing"), answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")),
		one("options-star", asks("OPTIONS", "*"), answers("HTTP/1.1 204 No Content\r\nAllow: GET, HEAD\r\n\r\n")),
		one("absolute-target", func(p *peer) { p.ask("GET", "http://"+p.r.authority()+"/absolute") }, answers(ok("yes"))),
		one("query-only-and-odd-characters", asks("GET", "/a//b/../c?x=[1]|{2}&y=\"z\"#f"), answers(ok("yes"))),
		one("get-with-a-body", func(p *peer) { p.say(p.r.to("GET", "/search", length(5)) + "query"); p.response() }, answers(ok("found"))),
		one("delete-with-a-body", func(p *peer) { p.say(p.r.to("DELETE", "/thing", length(5)) + "query"); p.response() }, answers(ok("gone"))),
		one("post-without-a-body", asks("POST", "/act"), answers(ok("done"))),
		one("post-of-length-0", asks("POST", "/act", length(0)), answers(ok("done"))),
		one("post", func(p *peer) { p.say(p.r.to("POST", "/act", length(11)) + "hello world"); p.response() }, answers(answerOf("201 Created", "made", "Location: /act/1"))),
		one("host-in-capitals", func(p *peer) {
			p.say("GET / HTTP/1.1\r\nHOST: " + strings.ToUpper(p.r.authority()) + "\r\n\r\n")
			p.response()
		}, answers(ok("yes"))),
		one("many-fields-of-one-name", asks("GET", "/", "Cookie: a=1", "X-Many: 1", "Cookie: b=2", "X-Many: 2", "X-Many:", "X-Many:    4   "),
			answers(ok("yes", "Set-Cookie: a=1", "X: 1", "Set-Cookie: b=2", "Set-Cookie: c=3; Expires=Thu, 01 Jan 1970 00:00:00 GMT"))),
		one("fields-of-other-encodings", asks("GET", "/\xff\xfe", "X-Latin: caf\xe9", "X-Utf8: Grüße"), answers(ok("yes", "X-Latin: caf\xe9", "Content-Disposition: attachment; filename=\"Grüße.txt\""))),
		one("ranges", asks("GET", "/", "Range: bytes=2-5", "If-Range: \"x\""), answers(answerOf("206 Partial Content", "cdef", "Content-Range: bytes 2-5/10"))),
	}
	for _, m := range []string{"PUT", "PATCH", "DELETE", "PURGE", "PROPFIND", "M-SEARCH", "get", "VERSION-CONTROL-BASELINE-X"} {
		list = append(list, one("method-"+m, asks(m, "/thing", length(0)), answers(ok(m))).under(fewKinds...))
	}
	return list
}

func answerScenarios() []scenario {
	list := []scenario{
		one("304", asks("GET", "/", "If-None-Match: \"x\""), answers("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n")),
		one("204", asks("GET", "/"), answers("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n")),
		one("chunked", asks("GET", "/"), answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk("one")+chunk(noise(5000))+lastChunk)),
		one("chunked-with-extensions-and-trailers", asks("GET", "/", "TE: trailers"),
			answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;name=value\r\none\r\n0;last\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n")),
		one("chunked-of-many-small-chunks", asks("GET", "/"), answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk("x"), 3000)+lastChunk)),
		one("until-close", asks("GET", "/"), func(q *request) { q.p.say("HTTP/1.1 200 OK\r\nX: y\r\n\r\n" + noise(3000)); q.close() }),
		one("http-1.0-until-close", asks("GET", "/"), func(q *request) { q.p.say("HTTP/1.0 200 OK\r\nX: y\r\n\r\nold"); q.close() }).but(versionRaised),
		one("close-is-kept", func(p *peer) { p.ask("GET", "/"); p.over() }, func(q *request) {
			q.p.say(ok("bye", "Connection: close"))
			q.close()
		}).but(stays),
		one("client-asks-to-close", func(p *peer) { p.ask("GET", "/", "Connection: close"); p.rest() }, func(q *request) {
			q.p.say(ok("bye", "Connection: close"))
			q.close()
		}),
		one("server-closes-without-saying", func(p *peer) { p.ask("GET", "/"); p.over() }, func(q *request) { q.p.say(ok("bye")); q.close() }).but(stays),
		one("interim-103", asks("GET", "/"), answers("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+ok("yes"))),
		one("interim-several", asks("GET", "/"), answers("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+ok("yes"))),
		one("interim-100-unasked", asks("GET", "/"), answers("HTTP/1.1 100 Continue\r\n\r\n"+ok("yes"))),
		one("no-reason", asks("GET", "/"), answers("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")),
		one("status-of-our-own", asks("GET", "/"), answers(answerOf("799 Odd But Legal", "x"))),
		one("content-encoding", asks("GET", "/", "Accept-Encoding: gzip"), answers(ok("\x1f\x8b not really", "Content-Encoding: gzip", "Vary: Accept-Encoding"))),
		one("server-names-itself", asks("GET", "/"), answers(ok("x", "Server: odd/1.0", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Via: 1.1 other", "X-Forwarded-For: 1.2.3.4"))),
	}
	for _, s := range []string{"301 Moved", "400 Bad Request", "401 Unauthorized", "404 Not Found", "429 Too Many Requests", "500 Oops", "502 Bad Gateway", "503 Unavailable",
		"504 Gateway Timeout"} {
		list = append(list, one("status-"+s[:3], asks("GET", "/"), answers(answerOf(s, "body of "+s, "Retry-After: 1", "Location: /else"))).under(fewKinds...))
	}
	return list
}

func slowScenarios() []scenario {
	return []scenario{
		one("slow-head", asks("GET", "/"), func(q *request) { time.Sleep(2500 * time.Millisecond); q.answer(200, "late") }),
		one("slow-post", func(p *peer) { p.say(p.r.to("POST", "/", length(1)) + "x"); p.response() },
			func(q *request) { q.body(); time.Sleep(2500 * time.Millisecond); q.answer(200, "late") }).under(fewKinds...),
		one("head-in-pieces", asks("GET", "/"), func(q *request) {
			q.p.pieces(150*time.Millisecond, "HTT", "P/1.1 200 ", "OK\r", "\nContent-", "Length: 2\r\n", "\r", "\no", "k")
		}),
		one("body-in-pieces", asks("GET", "/"), func(q *request) {
			q.p.pieces(300*time.Millisecond, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "one", "two", "six")
		}),
		one("request-in-pieces", func(p *peer) {
			p.pieces(50*time.Millisecond, "G", "ET /", "slow HT", "TP/1.1\r", "\nHo", "st: "+p.r.authority(), "\r\n", "\r\n")
			p.response()
		}, answers(ok("yes"))),
		one("request-line-slower-than-a-tenth-of-a-second", func(p *peer) {
			p.pieces(60*time.Millisecond, strings.Split("GET /slow", "")...)
			p.say(" HTTP/1.1\r\nHost: " + p.r.authority() + "\r\n\r\n")
			p.response()
			p.ask("GET", "/again")
		}, answers(ok("yes"))),
		one("request-after-silence", func(p *peer) { p.quiet(700 * time.Millisecond); p.ask("GET", "/") }, answers(ok("yes"))),
		one("request-after-long-silence", func(p *peer) { p.quiet(3 * time.Second); p.ask("GET", "/") }, answers(ok("yes"))),
		one("empty-lines-first", func(p *peer) { p.say("\r\n\r\n" + p.r.to("GET", "/")); p.response() }, func(q *request) { q.answer(200, "yes") }),
	}
}
