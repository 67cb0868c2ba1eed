package differential

import (
	"strings"
	"time"
)

// Responses that go on for long, pause, break off, or are given up.

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func streamScenarios() []scenario {
	event := func(s string) string { return chunk("data: " + s + "\n\n") }
	hearEvents := func(p *peer, n int) {
		raw, err := p.readHead()
		_, _, shown := readable(raw)
		p.note("answer %s", shown)
		if err != nil {
			p.note("then %s", errorClass(err))
			return
		}
		for range n {
			p.hear(len(event("1")))
		}
	}
	return []scenario{
		one("events-each-as-it-comes", func(p *peer) {
			p.say(p.r.to("GET", "/events"))
			hearEvents(p, 1)
			p.r.mark("one heard")
			p.hear(len(event("2")))
			p.r.mark("two heard")
			p.hear(len(lastChunk))
		}, func(q *request) {
			q.p.say(streamHead + event("1"))
			q.p.r.after("one heard")
			q.p.say(event("2"))
			q.p.r.after("two heard")
			q.p.say(lastChunk)
		}),
		one("head-before-the-first-event", func(p *peer) {
			p.say(p.r.to("GET", "/events"))
			hearEvents(p, 0)
			p.r.mark("head heard")
			p.hear(len(event("1")))
		}, func(q *request) { q.p.say(streamHead); q.p.r.after("head heard"); q.p.say(event("1") + lastChunk) }),
		one("idle-events", func(p *peer) {
			p.say(p.r.to("GET", "/events"))
			hearEvents(p, 1)
			p.quiet(4 * time.Second)
			p.r.mark("quiet")
			p.hear(len(event("2")))
			p.body(fields{"Transfer-Encoding: chunked"}, true)
		}, func(q *request) {
			q.p.say(streamHead + event("1"))
			q.p.r.after("quiet")
			q.p.say(event("2") + lastChunk)
		}),
		one("long-poll", asks("GET", "/poll"), func(q *request) { time.Sleep(4 * time.Second); q.p.say("HTTP/1.1 204 No Content\r\n\r\n") }).under(fewKinds...),
		one("client-leaves-an-idle-stream", func(p *peer) {
			p.say(p.r.to("GET", "/events"))
			hearEvents(p, 1)
			p.close()
			p.r.after("over")
		}, func(q *request) {
			q.p.say(streamHead + event("1"))
			q.p.gone(4 * time.Second)
			q.p.r.mark("over")
			q.p.ended = "over"
		}),
		one("client-resets-an-idle-stream", func(p *peer) {
			p.say(p.r.to("GET", "/events"))
			hearEvents(p, 1)
			p.reset()
			p.r.after("over")
		}, func(q *request) {
			q.p.say(streamHead + event("1"))
			q.p.gone(4 * time.Second)
			q.p.r.mark("over")
			q.p.ended = "over"
		}),
		one("client-leaves-a-flood", func(p *peer) {
			p.say(p.r.to("GET", "/flood"))
			p.readHead()
			p.in.Discard(100000)
			p.reset()
			p.r.after("over")
		}, func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\n\r\n")
			for q.p.sayQuietly(noise(64 << 10)) {
			}
			q.p.note("cannot go on")
			q.p.r.mark("over")
			q.p.ended = "over"
		}).under(fewKinds...),
		one("client-half-closes-and-hears-the-whole-stream", func(p *peer) {
			p.say(p.r.to("GET", "/events"))
			p.finish()
			p.response()
		}, func(q *request) {
			q.p.say(streamHead)
			q.p.pieces(400*time.Millisecond, event("1"), event("2"), event("3"), lastChunk)
		}),
		one("server-ends-before-the-announced-end", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
			time.Sleep(200 * time.Millisecond)
			q.close()
		}).but(cutIsReset),
		one("server-ends-in-the-middle-of-a-chunk", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one") + "ff\r\nonly this")
			time.Sleep(200 * time.Millisecond)
			q.close()
		}).but(cutIsReset),
		one("server-ends-between-chunks", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"))
			time.Sleep(200 * time.Millisecond)
			q.close()
		}).but(cutIsReset),
		one("server-resets-in-the-middle", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
			time.Sleep(200 * time.Millisecond)
			q.p.reset()
			q.p.ended = "reset"
		}),
		one("server-resets-what-goes-until-its-end", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\n\r\nonly this")
			time.Sleep(200 * time.Millisecond)
			q.p.reset()
			q.p.ended = "reset"
		}),
		one("server-ends-in-the-middle-of-the-head", asks("GET", "/"), func(q *request) { q.p.say("HTTP/1.1 200 OK\r\nContent-"); q.close() }).but(cutHead),
		one("slow-reader", func(p *peer) {
			p.say(p.r.to("GET", "/big"))
			time.Sleep(1500 * time.Millisecond)
			p.response()
		}, func(q *request) { q.p.say(ok(noise(16 << 20))) }).under(fewKinds...),
		one("reader-that-pauses-for-long", func(p *peer) {
			p.say(p.r.to("GET", "/big"))
			time.Sleep(6 * time.Second)
			p.response()
		}, func(q *request) { q.p.wait(10 * time.Second); q.p.say(ok(noise(16 << 20))) }).under(service, host),
		one("bytes-that-drip", asks("GET", "/"), func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
			q.p.pieces(20*time.Millisecond, strings.Split(noise(100), "")...)
		}).under(fewKinds...),
	}
}

func tunnelScenarios() []scenario {
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"}
	switched := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
	opened := func(p *peer) bool { return p.say(p.r.to("GET", "/ws", upgrade...)) && p.response() }
	serve := func(script func(p *peer)) func(q *request) {
		return func(q *request) {
			q.p.note("is asked for %s %s", q.fields.get("Connection"), q.fields.get("Upgrade"))
			q.p.say(switched)
			q.p.ended = "switched"
			script(q.p)
		}
	}
	return []scenario{
		one("websocket", func(p *peer) { opened(p); p.say("\x81\x85masked"); p.hear(6); p.say("\x88\x00bye"); p.rest() },
			serve(func(p *peer) { p.hear(8); p.say("\x81\x04yes!"); p.hear(5) })),
		one("websocket-with-the-first-frame-behind-the-switch", func(p *peer) { opened(p); p.hear(5); p.say("x"); p.rest() },
			func(q *request) { q.p.say(switched + "early"); q.p.ended = "switched"; q.p.hear(1) }),
		one("websocket-whose-client-does-not-wait", func(p *peer) {
			p.say(p.r.to("GET", "/ws", upgrade...) + "eager")
			p.response()
			p.hear(5)
		}, serve(func(p *peer) { p.hear(5); p.say("eager"); p.rest() })),
		one("idle-websocket", func(p *peer) { opened(p); p.quiet(4 * time.Second); p.say("ping"); p.hear(4); p.close() },
			serve(func(p *peer) { p.hear(4); p.say("pong"); p.rest() })),
		one("websocket-that-the-server-ends", func(p *peer) { opened(p); p.rest() }, serve(func(p *peer) { time.Sleep(200 * time.Millisecond) })),
		one("websocket-that-the-server-resets", func(p *peer) { opened(p); p.rest() },
			serve(func(p *peer) { time.Sleep(200 * time.Millisecond); p.reset() })),
		one("websocket-that-the-client-resets", func(p *peer) { opened(p); p.reset(); p.r.after("over") },
			serve(func(p *peer) { p.rest(); p.r.mark("over") })),
		one("websocket-half-closed-by-the-client", func(p *peer) { opened(p); p.say("last"); p.finish(); p.rest() },
			serve(func(p *peer) { p.rest(); p.say("last words") })),
		one("websocket-with-much-both-ways", func(p *peer) {
			opened(p)
			done := make(chan struct{})
			go func() { defer close(done); p.say(noise(4 << 20)); p.finish() }()
			p.rest()
			<-done
		}, serve(func(p *peer) {
			done := make(chan struct{})
			go func() { defer close(done); p.say(noise(5 << 20)); p.finish() }()
			p.rest()
			<-done
		})),
		one("websocket-with-a-protocol-and-extensions", func(p *peer) {
			p.say(p.r.to("GET", "/ws", append(upgrade, "Sec-WebSocket-Protocol: chat, superchat", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")...))
			p.response()
			p.hear(3)
		}, func(q *request) {
			q.p.note("is asked for %s with %s", q.fields.get("Sec-WebSocket-Protocol"), q.fields.get("Sec-WebSocket-Extensions"))
			q.p.say(strings.Replace(switched, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 1))
			q.p.ended = "switched"
			q.p.say("\xc1\x01x")
		}),
		one("websocket-that-is-closed-in-order", func(p *peer) {
			opened(p)
			p.say("\x88\x82mask\x6e\x89")
			p.hear(4)
			p.rest()
		}, serve(func(p *peer) { p.hear(8); p.say("\x88\x02\x03\xe8") })),
		one("websocket-with-pings-of-both-sides", func(p *peer) {
			opened(p)
			for range 3 {
				p.say("\x89\x80mask")
				p.hear(2)
				p.hear(2)
				p.say("\x8a\x80mask")
			}
			p.close()
		}, serve(func(p *peer) {
			for range 3 {
				p.hear(6)
				p.say("\x8a\x00")
				p.say("\x89\x00")
				p.hear(6)
			}
			p.rest()
		})),
		one("upgrade-refused", func(p *peer) { opened(p); p.ask("GET", "/after") }, func(q *request) {
			q.p.note("is asked for %s", q.fields.get("Upgrade"))
			q.answer(400, "no "+q.target)
		}),
		one("upgrade-ignored", func(p *peer) { opened(p); p.ask("GET", "/after") }, func(q *request) { q.answer(200, "plain "+q.target) }),
		one("upgrade-of-a-post", func(p *peer) {
			p.say(p.r.to("POST", "/attach", "Connection: Upgrade", "Upgrade: tcp", length(3)) + "abc")
			p.response()
			p.say("raw")
			p.hear(3)
		}, func(q *request) {
			q.body()
			q.p.say("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
			q.p.hear(3)
			q.p.say("raw")
			q.p.rest()
		}),
		one("upgrade-without-version-of-old-docker", func(p *peer) {
			p.say(p.r.to("POST", "/attach", "Connection: Upgrade", "Upgrade: tcp", length(0)))
			raw, err := p.readHead()
			_, _, shown := readable(raw)
			p.note("answer %s %s", shown, errorClass(err))
			p.hear(5)
			p.rest()
		}, func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nlogs\n")
			q.close()
		}),
		one("connect", func(p *peer) {
			p.say("CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n")
			p.responseTo("CONNECT")
			p.say("through")
			p.hear(7)
			p.close()
		}, func(q *request) {
			q.p.say("HTTP/1.1 200 Connection established\r\n\r\n")
			q.p.hear(7)
			q.p.say("THROUGH")
			q.p.rest()
		}),
		one("connect-refused", func(p *peer) {
			p.say("CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n")
			p.response()
			p.ask("GET", "/after")
		}, func(q *request) { q.answer(403, "no "+q.target) }),
		one("h2c-offer", func(p *peer) {
			p.ask("GET", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
		}, func(q *request) { q.answer(200, "plain") }).but(h2cOffer),
	}
}
