package differential

import (
	"fmt"
	"time"
)

// Many at once, and clients that leave.

func manyScenarios() []scenario {
	// outcome makes one call on a connection of its own and says how it went.
	outcome := func(r *run, i int, request string) string {
		p := r.dialAs(fmt.Sprintf("quiet client %d", i), r.addr(), 20*time.Second)
		if p == nil {
			return "cannot connect"
		}
		defer p.close()
		p.wait(20 * time.Second)
		if !p.sayQuietly(request) {
			return "cannot send"
		}
		raw, err := p.readHead()
		if err != nil {
			return "no answer, " + errorClass(err)
		}
		first, _, _ := readable(raw)
		return first
	}
	slow := func(q *request) { time.Sleep(1500 * time.Millisecond); q.p.sayQuietly(ok("slow")) }
	return []scenario{
		{name: "300-slow-calls", kinds: httpKinds, play: func(r *run) {
			r.quietWeb(0, slow)
			r.together(300, func(i int) string { return outcome(r, i, r.to("GET", "/slow")) })
		}},
		{name: "600-short-calls", kinds: fewKinds, play: func(r *run) {
			r.quietWeb(0, func(q *request) { q.p.sayQuietly(ok("fast")) })
			r.together(600, func(i int) string { return outcome(r, i, r.to("GET", "/fast")) })
		}},
		{name: "300-websockets", kinds: httpKinds, play: func(r *run) {
			r.quietWeb(0, func(q *request) {
				q.p.sayQuietly("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
				q.p.gone(20 * time.Second)
				q.p.ended = "over"
			})
			gate := make(chan struct{}, 300)
			open := make(chan struct{})
			go func() {
				for range 300 {
					select {
					case <-gate:
					case <-r.ctx.Done():
					}
				}
				close(open)
			}()
			r.together(300, func(i int) string {
				p := r.dialAs(fmt.Sprintf("quiet client %d", i), r.addr(), 20*time.Second)
				if p == nil {
					gate <- struct{}{}
					return "cannot connect"
				}
				p.sayQuietly(r.to("GET", "/ws", "Connection: Upgrade", "Upgrade: websocket"))
				raw, err := p.readHead()
				gate <- struct{}{}
				<-open // all are open at the same time
				first, _, _ := readable(raw)
				return first + errorClass(err)
			})
		}},
		{name: "300-idle-opaque-connections", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.in.Discard(len(hello)); p.sayQuietly("%yes"); p.in.Discard(1 << 20) })
			r.together(300, func(i int) string {
				p := r.dialAs(fmt.Sprintf("quiet client %d", i), r.addr(), 20*time.Second)
				if p == nil {
					return "cannot connect"
				}
				p.sayQuietly(hello)
				b := make([]byte, 4)
				p.await()
				_, err := p.in.Read(b)
				return string(b) + errorClass(err)
			})
		}},
		{name: "40-clients-of-20-calls-each", kinds: fewKinds, play: func(r *run) {
			r.quietWeb(0, func(q *request) { q.p.sayQuietly(ok(q.target)) })
			r.together(40, func(i int) string {
				p := r.dialAs(fmt.Sprintf("quiet client %d", i), r.addr(), 20*time.Second)
				if p == nil {
					return "cannot connect"
				}
				for k := range 20 {
					body := fmt.Sprintf("/%d/%d", i, k)
					if !p.sayQuietly(r.to("GET", body)) {
						return "cannot send"
					}
					raw, err := p.readHead()
					if err != nil {
						return "no answer, " + errorClass(err)
					}
					_, fs, _ := readable(raw)
					b := make([]byte, len(body))
					if fs.get("Content-Length") != fmt.Sprint(len(body)) {
						return "another's answer: " + raw
					}
					if _, err := p.in.Read(b); err != nil || string(b) != body {
						return "another's answer: " + string(b)
					}
				}
				return "20 answers of its own"
			})
		}},
	}
}

// quietWeb serves like web and notes nothing: in which order many come is up to the machine.
func (r *run) quietWeb(i int, handle func(q *request)) {
	r.serve(i, func(p *peer) {
		p.wait(30 * time.Second)
		p.silent = true
		for p.ended == "" {
			raw, err := p.readHead()
			if err != nil {
				return
			}
			first, fs, _ := readable(raw)
			q := &request{p: p, raw: raw, fields: fs}
			_, _ = fmt.Sscanf(first, "%s %s", &q.method, &q.target)
			handle(q)
		}
	})
}

func leavingScenarios() []scenario {
	// served notes when the client of a request that is being worked on has gone.
	served := func(q *request) {
		q.p.r.mark("asked")
		q.p.gone(4 * time.Second)
		q.p.r.mark("over")
		q.p.ended = "over"
	}
	leaving := func(name string, leave func(p *peer)) scenario {
		return one(name, func(p *peer) {
			p.say(p.r.to("GET", "/"))
			p.r.after("asked")
			p.timed("being noticed", func() { leave(p); p.r.after("over") })
		}, served)
	}
	return []scenario{
		leaving("closes-while-it-waits", func(p *peer) { p.close() }),
		leaving("resets-while-it-waits", func(p *peer) { p.reset() }),
		one("leaves-with-a-post-under-way", func(p *peer) {
			p.say(p.r.to("POST", "/", length(3)) + "abc")
			p.r.after("asked")
			p.close()
			p.r.after("over")
		}, func(q *request) { q.body(); served(q) }),
		one("ends-its-side-with-the-request", func(p *peer) { p.say(p.r.to("GET", "/")); p.finish(); p.response(); p.rest() },
			func(q *request) { time.Sleep(300 * time.Millisecond); q.answer(200, "yes") }),
		one("ends-its-side-with-the-request-and-waits-long", func(p *peer) { p.say(p.r.to("GET", "/")); p.finish(); p.response() },
			func(q *request) { time.Sleep(2500 * time.Millisecond); q.answer(200, "yes") }),
		one("ends-its-side-while-it-waits", func(p *peer) { p.say(p.r.to("GET", "/")); p.r.after("asked"); p.finish(); p.response() },
			func(q *request) { q.p.r.mark("asked"); time.Sleep(700 * time.Millisecond); q.answer(200, "yes") }),
		one("ends-its-side-with-a-post", func(p *peer) { p.say(p.r.to("POST", "/", length(3)) + "abc"); p.finish(); p.response() },
			func(q *request) { q.body(); time.Sleep(300 * time.Millisecond); q.answer(200, "yes") }),
		one("ends-its-side-in-a-chunked-upload", func(p *peer) {
			p.say(p.r.to("POST", "/", "Transfer-Encoding: chunked") + chunk("abc"))
			p.finish()
			p.gone(3 * time.Second)
		}, func(q *request) { q.body() }).under(fewKinds...),
		one("leaves-between-calls", func(p *peer) { p.ask("GET", "/"); p.close() }, answers(ok("yes"))),
		one("gives-up-after-a-second-and-asks-again", func(p *peer) {
			p.say(p.r.to("GET", "/1"))
			time.Sleep(time.Second)
			p.close()
			p.r.client(func(p *peer) { p.ask("GET", "/2") })
		}, func(q *request) {
			if q.target == "/1" {
				q.p.who += ", given up"
				q.p.gone(4 * time.Second)
				q.p.ended = "over"
				return
			}
			q.answer(200, "yes")
		}),
		one("closes-before-it-reads", func(p *peer) { p.say(p.r.to("GET", "/")); p.close(); p.r.after("asked") },
			func(q *request) { q.p.r.mark("asked"); q.p.sayQuietly(ok("to nobody")); q.p.ended = "over" }),
	}
}
