package differential

import (
	"fmt"
	"time"
)

// Connections that are kept for more than one request, at each moment at which something can happen to them.

func keptScenarios() []scenario {
	again := func(p *peer) { p.ask("GET", "/first"); p.ask("GET", "/second") }
	return []scenario{
		one("ten-in-a-row", func(p *peer) {
			for i := range 10 {
				p.ask("GET", fmt.Sprintf("/%d", i))
			}
		}, func(q *request) { q.answer(200, q.target) }),
		one("pipelined", func(p *peer) {
			p.say(p.r.to("GET", "/1") + p.r.to("GET", "/2") + p.r.to("POST", "/3", length(3)) + "abc" + p.r.to("GET", "/4"))
			for range 4 {
				p.response()
			}
		}, func(q *request) { q.body(); q.answer(200, q.target) }),
		one("pipelined-behind-a-slow-one", func(p *peer) {
			p.say(p.r.to("GET", "/1") + p.r.to("GET", "/2"))
			p.response()
			p.response()
		}, func(q *request) { time.Sleep(400 * time.Millisecond); q.answer(200, q.target) }).under(fewKinds...),
		one("idle-between", func(p *peer) { p.ask("GET", "/1"); p.quiet(2500 * time.Millisecond); p.ask("GET", "/2") }, answers(ok("yes"))),
		one("mixed-methods", func(p *peer) {
			p.ask("GET", "/1")
			p.say(p.r.to("POST", "/2", length(3)) + "abc")
			p.response()
			p.ask("HEAD", "/3")
			p.say(p.r.to("PUT", "/4", "Transfer-Encoding: chunked") + chunk("abc") + lastChunk)
			p.response()
			p.ask("DELETE", "/5")
		}, func(q *request) {
			if q.method == "HEAD" {
				q.p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
				return
			}
			q.body()
			q.answer(200, q.method)
		}),
		one("server-ends-an-idle-connection", func(p *peer) { p.ask("GET", "/"); p.over() },
			func(q *request) { q.answer(200, "yes"); time.Sleep(300 * time.Millisecond); q.close() }).but(stays),
		one("server-ends-an-idle-connection-with-a-hint", func(p *peer) { p.ask("GET", "/"); p.over() },
			func(q *request) {
				q.p.say(ok("yes", "Connection: keep-alive", "Keep-Alive: timeout=1"))
				time.Sleep(time.Second)
				q.close()
			}).but(stays),
		one("server-resets-an-idle-connection", func(p *peer) { p.ask("GET", "/"); p.over() },
			func(q *request) {
				q.answer(200, "yes")
				time.Sleep(300 * time.Millisecond)
				q.p.reset()
				q.p.ended = "reset"
			}).but(stays),
		one("server-says-408-to-an-idle-connection", func(p *peer) { p.ask("GET", "/"); p.over() },
			func(q *request) {
				q.answer(200, "yes")
				time.Sleep(300 * time.Millisecond)
				q.p.say("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				q.close()
			}).but(unasked, stays),
		one("server-closes-after-each-and-says-so", func(p *peer) {
			for range 3 {
				p.r.client(func(p *peer) { p.ask("GET", "/"); p.over() })
			}
		}, func(q *request) { q.p.say(ok("yes", "Connection: close")); q.close() }).but(stays),
		one("client-connects-again-for-each", func(p *peer) {
			p.ask("GET", "/first")
			for i := range 5 {
				p.r.client(func(p *peer) { p.ask("GET", fmt.Sprintf("/%d", i), "Connection: close"); p.rest() })
			}
		}, func(q *request) {
			if q.fields.get("Connection") == "close" {
				q.p.say(ok("yes", "Connection: close"))
				q.close()
				return
			}
			q.p.say(ok("yes"))
		}),
		one("server-resets-instead-of-the-second-answer", again, second(func(q *request) { q.p.reset(); q.p.ended = "reset" })).but(repeated, answered("reset")),
		one("server-ends-instead-of-the-second-answer", again, second(func(q *request) { q.close() })).but(repeated, answered("reset")),
		one("server-ends-instead-of-the-second-answer-to-a-post", func(p *peer) {
			p.ask("GET", "/first")
			p.say(p.r.to("POST", "/second", length(3)) + "abc")
			p.response()
		}, second(func(q *request) { q.body(); q.close() })).but(answered("reset")),
		one("server-ends-instead-of-the-first-answer-to-a-post", func(p *peer) { p.say(p.r.to("POST", "/", length(3)) + "abc"); p.response() },
			func(q *request) { q.body(); q.close() }).but(answered("reset")),
		one("server-ends-instead-of-the-first-answer", asks("GET", "/"), func(q *request) { q.close() }).but(answered("reset")),
		one("server-resets-instead-of-the-first-answer", asks("GET", "/"), func(q *request) { q.p.reset(); q.p.ended = "reset" }).but(answered("reset")),
		one("http-1.0-client", func(p *peer) {
			p.say("GET /old HTTP/1.0\r\nHost: " + p.r.authority() + "\r\n\r\n")
			p.response()
			p.rest()
		}, func(q *request) { q.p.say("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes"); q.close() }).but(versionRaised),
		one("http-1.0-client-that-keeps", func(p *peer) {
			for range 2 {
				p.say("GET /old HTTP/1.0\r\nHost: " + p.r.authority() + "\r\nConnection: keep-alive\r\n\r\n")
				p.response()
			}
		}, answers("HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nyes")).but(versionRaised),
		one("unasked-bytes-behind-an-answer", func(p *peer) {
			p.ask("GET", "/first")
			p.close()
			p.r.client(func(p *peer) { p.ask("GET", "/second") })
		}, func(q *request) {
			q.p.say(ok(q.target) + "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked")
			q.p.drain()
		}).under(service, host),
		one("unasked-answer-behind-204", func(p *peer) {
			p.ask("GET", "/first")
			p.close()
			p.r.client(func(p *peer) { p.ask("GET", "/second") })
		}, func(q *request) {
			q.p.say("HTTP/1.1 204 No Content\r\n\r\n" + ok("unasked"))
			q.p.drain()
		}).under(service, host),
		one("body-behind-the-answer-to-head", func(p *peer) {
			p.ask("HEAD", "/first")
			p.close()
			p.r.client(func(p *peer) { p.ask("GET", "/second") })
		}, func(q *request) {
			q.p.say(ok(q.target + " and more"))
			if q.method == "HEAD" {
				q.p.drain()
			}
		}).under(service, host),
		one("unasked-answer-in-a-segment-of-its-own", func(p *peer) {
			p.ask("GET", "/first")
			p.close()
			p.r.after("unasked")
			p.r.client(func(p *peer) { p.ask("GET", "/second") })
		}, func(q *request) {
			q.p.say(ok(noise(100 << 10)))
			time.Sleep(50 * time.Millisecond)
			_ = q.p.sayQuietly(ok("unasked"))
			q.p.r.mark("unasked")
			q.p.drain()
		}).under(service, host),
		one("another-client-of-the-pod", func(p *peer) {
			p.ask("GET", "/first")
			p.r.client(func(p *peer) { p.ask("GET", "/other") })
			p.ask("GET", "/second")
		}, func(q *request) { q.answer(200, q.target) }),
		one("posts-at-the-servers-keep-alive-time", func(p *peer) {
			for range 6 {
				p.r.client(func(p *peer) { p.say(p.r.to("POST", "/", length(3)) + "abc"); p.response() })
				time.Sleep(190 * time.Millisecond)
			}
		}, func(q *request) { q.body(); q.answer(200, "yes"); q.p.keep = 200 * time.Millisecond }).under(service, headless),
		one("two-hosts-on-one-connection", func(p *peer) {
			p.ask("GET", "/mine")
			p.say("GET /other HTTP/1.1\r\nHost: other.test\r\n\r\n")
			p.response()
			p.ask("GET", "/mine-again")
		}, func(q *request) { q.answer(200, q.target+" at "+q.fields.get("Host")) }),
	}
}

// second is a server that handles the second request on each connection so; all other requests are answered.
func second(handle func(q *request)) func(q *request) {
	return func(q *request) {
		if q.target == "/first" {
			q.body()
			q.answer(200, "yes")
			return
		}
		handle(q)
	}
}
