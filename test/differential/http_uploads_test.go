package differential

import (
	"strings"
	"time"
)

// Requests with bodies, long and slow ones, and answers that come before their end.

func uploadScenarios() []scenario {
	mega := noise(1 << 20)
	put := func(body string) func(p *peer) {
		return func(p *peer) { p.say(p.r.to("PUT", "/up", length(len(body))) + body); p.response() }
	}
	taken := func(q *request) { q.body(); q.answer(201, "taken") }
	// early answers first and reads on.
	early := func(answer string) func(q *request) {
		return func(q *request) { q.p.say(answer); q.body() }
	}
	writesFirst := func(body string) func(p *peer) {
		return func(p *peer) {
			p.sayQuietly(p.r.to("POST", "/up", length(len(body))))
			for _, piece := range cut(body, 16) {
				time.Sleep(10 * time.Millisecond)
				if !p.sayQuietly(piece) {
					break
				}
			}
			p.response()
		}
	}
	slowly := func(p *peer) {
		p.say(p.r.to("PUT", "/up", length(40)))
		p.pieces(250*time.Millisecond, strings.Split(strings.Repeat("quite.slow", 4), ".")...)
		p.response()
	}
	chunked := func(p *peer) {
		p.say(p.r.to("POST", "/up", "Transfer-Encoding: chunked"))
		p.pieces(20*time.Millisecond, chunk("one"), chunk(noise(70000)), "2\r\nab\r\n5;x=y\r\nhe", "llo\r\n", lastChunk)
		p.response()
	}
	return []scenario{
		one("of-a-megabyte", put(mega), taken),
		one("of-32-megabytes", put(noise(32<<20)), taken).under(fewKinds...),
		one("in-chunks", chunked, taken),
		one("in-chunks-with-trailers", func(p *peer) {
			p.say(p.r.to("POST", "/up", "Transfer-Encoding: chunked", "Trailer: X-Sum") + chunk("abc") + "0\r\nX-Sum: 3\r\n\r\n")
			p.response()
		}, taken),
		one("slowly", func(p *peer) {
			p.say(p.r.to("PUT", "/up", length(36)))
			p.pieces(250*time.Millisecond, strings.Split(strings.Repeat("not.so.fast.", 4)[:47], ".")...)
			p.response()
		}, taken).under(fewKinds...),
		one("that-stalls", func(p *peer) {
			p.say(p.r.to("PUT", "/up", length(6)) + "abc")
			p.quiet(3 * time.Second)
			p.say("def")
			p.response()
		}, taken),
		one("very-slowly", slowly, func(q *request) { q.body(); q.answer(200, "patient") }).under(fewKinds...),
		one("to-a-slow-reader", put(noise(8<<20)), func(q *request) { time.Sleep(1500 * time.Millisecond); q.body(); q.answer(200, "yes") }).under(fewKinds...),
		one("answer-after-a-while", put(mega), func(q *request) { q.body(); time.Sleep(2500 * time.Millisecond); q.answer(200, "yes") }).under(fewKinds...),
		one("202-before-its-end-and-the-server-reads-on", writesFirst(mega), early(answerOf("202 Accepted", "queued"))),
		one("413-before-its-end-and-the-server-reads-on", writesFirst(mega), early(answerOf("413 Too Large", "no"))),
		one("200-at-once-to-an-upload-in-chunks", func(p *peer) {
			p.say(p.r.to("POST", "/up", "Transfer-Encoding: chunked") + chunk("one"))
			p.response()
			p.say(chunk("two") + chunk(noise(200000)) + lastChunk)
			p.ask("GET", "/after")
		}, func(q *request) {
			if q.method == "GET" {
				q.answer(200, "still here")
				return
			}
			q.p.say(answerOf("200 OK", "I know enough"))
			q.body()
		}),
		one("answer-that-goes-on-as-long-as-the-upload", func(p *peer) {
			p.say(p.r.to("POST", "/both", "Transfer-Encoding: chunked"))
			raw, _ := p.readHead()
			_, fs, shown := readable(raw)
			p.note("answer %s", shown)
			for _, word := range []string{"one", "two", "three"} {
				p.say(chunk(word))
				p.hear(len(chunk(word)))
				time.Sleep(100 * time.Millisecond)
			}
			p.say(lastChunk)
			p.body(fs, true)
		}, func(q *request) {
			q.p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for _, word := range []string{"one", "two", "three"} {
				q.p.hear(len(chunk(word)))
				q.p.say(chunk(word))
			}
			q.p.hear(len(lastChunk))
			q.p.say(lastChunk)
		}),
		one("final-answer-while-the-upload-is-stuck", func(p *peer) {
			p.say(p.r.to("POST", "/up", length(64<<20)))
			go func() { // until nobody takes any more
				for p.sayQuietly(noise(64 << 10)) {
				}
			}()
			p.timed("the answer", func() { p.responseHeadOnly() })
		}, func(q *request) {
			time.Sleep(500 * time.Millisecond)
			q.p.say("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
			q.p.r.after("answer read")
			q.p.ended = "closed"
		}).under(service, host),
		one("server-never-reads", func(p *peer) {
			p.say(p.r.to("POST", "/up", length(3)) + "abc")
			p.response()
		}, func(q *request) {
			q.p.say(ok("do not care", "Connection: close"))
			q.p.finish()
			q.p.gone(2 * time.Second)
			q.p.ended = "closed"
		}).under(fewKinds...),
		one("server-resets-in-the-middle", func(p *peer) {
			p.sayQuietly(p.r.to("POST", "/up", length(8<<20)) + noise(8<<20))
			p.response()
		}, func(q *request) { q.p.in.Discard(10000); q.p.reset(); q.p.ended = "reset" }).under(service, host).but(answered("reset")),
		one("client-resets-in-the-middle", func(p *peer) {
			p.say(p.r.to("POST", "/up", length(1000)) + "abc")
			p.r.after("begun")
			p.reset()
			p.r.after("over")
		}, func(q *request) {
			q.p.hear(3)
			q.p.r.mark("begun")
			q.p.gone(3 * time.Second)
			q.p.r.mark("over")
			q.p.ended = "over"
		}),
		one("client-ends-in-the-middle", func(p *peer) {
			p.say(p.r.to("POST", "/up", length(1000)) + "abc")
			p.r.after("begun")
			p.close()
			p.r.after("over")
		}, func(q *request) {
			q.p.hear(3)
			q.p.r.mark("begun")
			q.p.gone(3 * time.Second)
			q.p.r.mark("over")
			q.p.ended = "over"
		}),
		one("expect-and-continue", expecting("abc"), func(q *request) { q.p.say("HTTP/1.1 100 Continue\r\n\r\n"); q.body(); q.answer(200, "yes") }),
		one("expect-and-continue-late", expecting("abc"), func(q *request) {
			time.Sleep(1200 * time.Millisecond)
			q.p.say("HTTP/1.1 100 Continue\r\n\r\n")
			q.body()
			q.answer(200, "yes")
		}).under(fewKinds...),
		one("expect-and-refusal", func(p *peer) {
			p.say(p.r.to("PUT", "/up", length(3), "Expect: 100-continue"))
			p.response()
		}, func(q *request) { q.p.say(answerOf("417 No", "no", "Connection: close")); q.close() }),
		one("expect-and-final-answer-without-continue", func(p *peer) {
			p.say(p.r.to("PUT", "/up", length(3), "Expect: 100-continue"))
			p.response()
			p.say("abc")
			p.ask("GET", "/after")
		}, func(q *request) {
			if q.method == "PUT" {
				q.p.say(answerOf("200 OK", "have it already"))
				q.body()
				return
			}
			q.answer(200, "still here")
		}).but(expectationEnds),
		one("expect-that-the-client-does-not-wait-for", func(p *peer) {
			p.say(p.r.to("PUT", "/up", length(3), "Expect: 100-continue") + "abc")
			p.response()
		}, func(q *request) { q.body(); q.answer(200, "yes") }),
		one("expect-of-a-server-that-does-not-know-it", func(p *peer) {
			p.say(p.r.to("PUT", "/up", length(3), "Expect: 100-continue"))
			p.quiet(time.Second)
			p.say("abc")
			p.response()
		}, func(q *request) { q.body(); q.answer(200, "yes") }),
		one("another-after-one-that-was-refused", func(p *peer) {
			p.say(p.r.to("PUT", "/first", length(3), "Expect: 100-continue"))
			p.response()
			p.say(p.r.to("PUT", "/second", length(3)) + "abc")
			p.response()
		}, func(q *request) {
			if q.target == "/first" {
				q.p.say(answerOf("503 Busy", "no"))
				return
			}
			q.body()
			q.answer(200, "yes")
		}).but(expectationEnds),
	}
}

// expecting sends a body only once it is asked for.
func expecting(body string) func(p *peer) {
	return func(p *peer) {
		p.say(p.r.to("PUT", "/up", length(len(body)), "Expect: 100-continue"))
		if raw, err := p.readHead(); err != nil || !strings.Contains(raw, " 100 ") {
			p.heard([]byte(raw), err)
			return
		}
		p.note("may go on")
		p.say(body)
		p.response()
	}
}

// cut cuts s into n pieces.
func cut(s string, n int) []string {
	var out []string
	size := (len(s) + n - 1) / n
	for len(s) > 0 {
		k := min(size, len(s))
		out, s = append(out, s[:k]), s[k:]
	}
	return out
}
