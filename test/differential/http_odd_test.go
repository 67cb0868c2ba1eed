package differential

import (
	"fmt"
	"strings"
)

// Heads and bodies as nobody should write them, and some do.

func oddRequestScenarios() []scenario {
	odd := func(name, raw string) scenario {
		return one(name, func(p *peer) { p.say(strings.ReplaceAll(raw, "HOST", p.r.authority())); p.response() },
			func(q *request) {
				q.p.say(ok("taken", "Connection: close"))
				q.p.finish()
				q.p.gone(2e9)
				q.p.ended = "closed"
			}).under(service, host).but(refused(400))
	}
	fine := func(name, raw string) scenario {
		return one(name, func(p *peer) { p.say(strings.ReplaceAll(raw, "HOST", p.r.authority())); p.response() },
			func(q *request) { q.body(); q.answer(200, "taken") }).under(service, host)
	}
	return []scenario{
		odd("length-and-chunked", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		odd("lengths-that-differ", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
		odd("length-with-a-sign", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: +3\r\n\r\nabc"),
		odd("space-before-the-colon", "GET / HTTP/1.1\r\nHost: HOST\r\nX-A : b\r\n\r\n"),
		odd("folded-field", "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n  c\r\n\r\n"),
		odd("bare-carriage-return", "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\rX-B: c\r\n\r\n"),
		odd("nul-in-a-field", "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: b\x00c\r\n\r\n"),
		odd("chunk-size-that-is-none", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
		odd("chunk-size-in-c", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
		odd("coding-that-hides", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
		odd("connect-without-a-port", "CONNECT far.test HTTP/1.1\r\nHost: HOST\r\n\r\n"),
		odd("two-hosts", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n"),
		fine("lengths-that-agree", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc").but(lengthsFolded),
		fine("no-space-behind-the-colon", "GET / HTTP/1.1\r\nHost:HOST\r\nX-A:b\r\n\r\n"),
		fine("tab-and-space-around-values", "GET / HTTP/1.1\r\nHost: HOST\r\nX-A: \t b c \t \r\n\r\n"),
		fine("empty-value", "GET / HTTP/1.1\r\nHost: HOST\r\nX-A:\r\nX-B: \r\n\r\n"),
		fine("odd-names", "GET / HTTP/1.1\r\nHost: HOST\r\n!#$%&'*+-.^_`|~: odd\r\nX_Under: 1\r\n123: 4\r\n\r\n"),
		fine("chunk-extension-and-upper-case-size", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: Chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n000\r\n\r\n"),
		fine("percent-and-plus", "GET /%00%zz+?%=%&& HTTP/1.1\r\nHost: HOST\r\n\r\n"),
		fine("long-method-of-others", "BASELINE-CONTROL-AND-CHECKOUT / HTTP/1.1\r\nHost: HOST\r\n\r\n"),
		fine("many-connection-options", "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: keep-alive, "+strings.Repeat("x-nothing, ", 20)+"x-last\r\n\r\n"),
		one("connection-names-a-field", func(p *peer) {
			p.ask("GET", "/", "Connection: keep-alive, X-Mine", "X-Mine: for the next", "X-Yours: for all", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive")
		}, func(q *request) {
			q.p.note("whole head %s", show([]byte(q.raw)))
			q.answer(200, "yes")
		}).under(service, host).but(hopByHop),
		one("connection-names-a-trailer", func(p *peer) {
			p.say(p.r.to("POST", "/", "Transfer-Encoding: chunked", "Connection: X-Mine") + chunk("abc") + "0\r\nX-Mine: 1\r\nX-Yours: 2\r\n\r\n")
			p.response()
		}, func(q *request) { q.body(); q.answer(200, "yes") }).under(service, host).but(trailerDropped),
		one("line-break-behind-a-body", func(p *peer) {
			p.say(p.r.to("POST", "/1", length(3)) + "abc\r\n")
			p.response()
			p.ask("GET", "/2")
		}, func(q *request) { q.body(); q.answer(200, "yes") }).under(service, host),
		one("h2c-among-other-offers", func(p *peer) {
			p.ask("GET", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: websocket, h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
		}, func(q *request) { q.answer(200, "plain") }).under(service, host).but(h2cAmongOthers),
		one("options-that-may-go-no-further", asks("OPTIONS", "*", "Max-Forwards: 0"), answers(ok("yes"))).under(service, host).but(mayGoNoFurther),
		one("trace-that-may-go-three-times", asks("TRACE", "/", "Max-Forwards: 3"), answers(ok("yes"))).under(service, host).but(countedDown),
		one("upgrade-without-naming-it", func(p *peer) { p.ask("GET", "/", "Upgrade: websocket") }, func(q *request) { q.answer(200, "yes") }).
			under(service, host).but(upgradeDropped),
		one("te-other-than-trailers", func(p *peer) { p.ask("GET", "/", "TE: gzip", "Connection: TE") }, func(q *request) { q.answer(200, "yes") }).
			under(service, host).but(teDropped),
	}
}

func oddAnswerScenarios() []scenario {
	odd := func(name, answer string, d ...difference) scenario {
		return one(name, asks("GET", "/"), answers(answer)).under(service, host).but(d...)
	}
	ending := func(name, answer string, d ...difference) scenario {
		return one(name, func(p *peer) { p.ask("GET", "/") }, func(q *request) { q.p.say(answer); q.close() }).under(service, host).but(d...)
	}
	line := func(from, to string) difference {
		return difference{id: "odd-answers-are-mended", adjust: func(o *observation) {
			o.replace("client", func(l string) string { return strings.Replace(l, from, to, 1) })
		}}
	}
	return []scenario{
		odd("space-before-the-colon", "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nok", line("X-A : b", "X-A: b")),
		odd("space-before-the-extension-of-a-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3 ;ext\r\none\r\n3   \r\ntwo\r\n0\r\n\r\n"),
		odd("zeros-before-a-chunk-size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\none\r\n00000000000000000000\r\n\r\n"),
		odd("version-1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", line("HTTP/1.2", "HTTP/1.1")),
		odd("line-feeds-only", "HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nok"),
		odd("no-reason-and-no-space", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
		odd("204-with-a-length", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", line(" | Content-Length: 0", "")),
		odd("lengths-that-agree", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", line("Content-Length: 2 | Content-Length: 2", "Content-Length: 2")),
		odd("twenty-nominations", "HTTP/1.1 200 OK\r\nConnection: "+strings.Repeat("x-a, ", 20)+"x-b\r\nContent-Length: 2\r\n\r\nok"),
		odd("length-beside-chunked", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", line(" | Content-Length: 99", "")),
		odd("folded-field", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", line("X-A: b |  c", "X-A: b c")),
		odd("chunk-size-in-c-of-a-server-in-error", "HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nok"),
		odd("line-break-behind-a-body", ok("yes")+"\r\n"),
		ending("no-head-at-all", "just text\r\n", unreadable),
		ending("length-that-is-none", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nok", unreadable),
		ending("http-1.0-without-length", "HTTP/1.0 200 OK\r\n\r\nok", versionRaised),
		one("chunked-to-a-client-of-1.0", func(p *peer) {
			p.say("GET / HTTP/1.0\r\nHost: " + p.r.authority() + "\r\n\r\n")
			p.response()
		}, func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("abc") + lastChunk)
			q.close()
		}).under(service, host).but(difference{id: "odd-answers-are-mended", adjust: func(o *observation) {
			o.actors["client"] = []string{"answer HTTP/1.1 200 OK", `hears "abc"`, "then end"}
		}}),
	}
}

func largeScenarios() []scenario {
	long := func(name string, n int) scenario {
		return one(name, asks("GET", "/"+noise(n)), answers(ok("yes"))).under(service, host)
	}
	fields := func(name string, count, size int) scenario {
		var more []string
		for i := range count {
			more = append(more, fmt.Sprintf("X-Field-%d: %s", i, noise(size)))
		}
		return one(name, asks("GET", "/", more...), answers(ok("yes"))).under(service, host)
	}
	answerFields := func(name string, count, size int) scenario {
		var more []string
		for i := range count {
			more = append(more, fmt.Sprintf("Set-Cookie: c%d=%s", i, noise(size)))
		}
		return one(name, asks("GET", "/"), answers(ok("yes", more...))).under(service, host)
	}
	return []scenario{
		long("target-of-8-kilobytes", 8<<10),
		long("target-of-20-kilobytes", 20<<10),
		long("target-of-60-kilobytes", 60<<10),
		fields("head-of-50-kilobytes", 50, 1000),
		fields("one-field-of-30-kilobytes", 1, 30<<10),
		fields("five-hundred-fields", 500, 20),
		answerFields("answer-head-of-30-kilobytes", 30, 1000),
		answerFields("answer-head-of-66-kilobytes", 66, 1000),
		answerFields("answer-with-a-field-of-40-kilobytes", 1, 40<<10),
		one("answer-of-64-megabytes", asks("GET", "/"), answers(ok(noise(64<<20)))).under(service, host),
		one("answer-of-32-megabytes-in-chunks", asks("GET", "/"),
			answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk(noise(1<<20)), 32)+lastChunk)).under(service, host),
		one("answer-of-16-megabytes-until-close", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\n\r\n" + noise(16<<20))
			q.close()
		}).under(service, host),
		one("megabyte-each-way-many-times", func(p *peer) {
			for range 8 {
				p.say(p.r.to("PUT", "/", length(1<<20)) + noise(1<<20))
				p.response()
			}
		}, func(q *request) { q.body(); q.p.say(ok(noise(1 << 20))) }).under(service, host),
	}
}
