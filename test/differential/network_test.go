package differential

import (
	"fmt"
	"net/netip"
	"time"
)

// Networks that refuse, swallow and change, and servers that come and go.

func networkScenarios() []scenario {
	raw := []kind{service, headless, everything, serviceTCP}
	return []scenario{
		{name: "closed-port-and-a-word", kinds: rawKinds, play: func(r *run) {
			r.client(func(p *peer) { p.sayQuietly(hello); p.rest() })
		}, differs: []difference{connectedThenReset}},
		{name: "closed-port-in-silence", kinds: rawKinds, play: func(r *run) {
			r.client(func(p *peer) { p.rest() })
		}, differs: []difference{connectedThenReset}},
		{name: "closed-port-and-a-request", kinds: httpKinds, play: func(r *run) {
			r.client(func(p *peer) { p.ask("GET", "/") })
		}, differs: []difference{answered("connect_failure")}},
		{name: "service-without-endpoints", kinds: []kind{service, serviceHTTP, serviceTCP}, setting: setting{empty: true}, uncaptured: true, play: func(r *run) {
			r.client(func(p *peer) { p.ask("GET", "/") })
		}},
		{name: "unreachable-address", kinds: []kind{everything}, play: func(r *run) {
			if p := r.dialAs("client", netip.AddrPortFrom(unreachable, serverPort), patience); p != nil {
				p.sayQuietly(hello)
				p.rest()
			}
		}, differs: []difference{connectedThenReset}},
		{name: "address-that-swallows-and-a-client-that-gives-up", kinds: []kind{everything}, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest() })
			if p := r.dialAs("client", netip.AddrPortFrom(blackhole, serverPort), 2*time.Second); p != nil {
				p.wait(2 * time.Second)
				p.say(r.to("GET", "/"))
				p.response()
			}
		}, differs: []difference{connectedThenSilence}},
		{name: "outage-of-a-second-in-the-middle", kinds: raw, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say(noise(100000)); p.rest() })
			r.client(func(p *peer) {
				p.say("%")
				r.outage(time.Second, func() { p.say(hello[1:]) })
				p.hear(100000)
			})
		}},
		{name: "outage-of-a-second-in-a-call", kinds: httpKinds, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "yes") })
			r.client(func(p *peer) {
				p.ask("GET", "/1")
				r.outage(time.Second, func() { p.say(r.to("GET", "/2")) })
				p.response()
			})
		}},
		{name: "server-vanishes-in-a-call-and-the-client-gives-up", kinds: httpKinds, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "yes") })
			r.client(func(p *peer) {
				p.ask("GET", "/1")
				r.cut(0)
				p.wait(2 * time.Second).say(r.to("GET", "/2"))
				p.response()
			})
		}},
		{name: "server-vanishes-in-the-middle-of-an-answer", kinds: httpKinds, play: func(r *run) {
			r.web(0, func(q *request) {
				q.p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
				r.mark("half sent")
				q.p.drain()
			})
			r.client(func(p *peer) {
				p.say(r.to("GET", "/"))
				r.after("half sent")
				p.readHead()
				p.hear(4)
				r.cut(0)
				p.wait(2 * time.Second).hear(96)
			})
		}},
		{name: "server-vanishes-under-an-opaque-connection", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%yes\n"); p.quiet(5 * time.Second) })
			r.client(func(p *peer) {
				p.say(hello)
				p.hear(5)
				r.cut(0)
				p.wait(2 * time.Second).say("%still there?\n")
				p.hear(1)
			})
		}},
		{name: "server-restarts-between-calls", kinds: httpKinds, play: func(r *run) {
			stop := r.webUntil(0, func(q *request) { q.answer(200, "old") })
			r.client(func(p *peer) { p.ask("GET", "/1") })
			stop()
			r.web(0, func(q *request) { q.answer(200, "new") })
			r.client(func(p *peer) { p.ask("GET", "/2") })
		}},
		{name: "server-restarts-under-a-kept-connection", kinds: httpKinds, play: func(r *run) {
			stop := r.webUntil(0, func(q *request) { q.answer(200, "old") })
			r.client(func(p *peer) {
				p.ask("GET", "/1")
				stop()
				r.web(0, func(q *request) { q.answer(200, "new") })
				p.over()
				p.close()
			})
			r.client(func(p *peer) { p.ask("GET", "/2") })
		}, differs: []difference{stays}},
		{name: "server-is-down-for-a-while", kinds: httpKinds, play: func(r *run) {
			stop := r.webUntil(0, func(q *request) { q.answer(200, "old") })
			r.client(func(p *peer) { p.ask("GET", "/1") })
			stop()
			if p := r.dialAs("second client", r.addr(), patience); p != nil {
				p.ask("GET", "/2")
			}
			r.web(0, func(q *request) { q.answer(200, "new") })
			if p := r.dialAs("third client", r.addr(), patience); p != nil {
				p.ask("GET", "/3")
			}
		}, differs: []difference{refusedCall("second client")}},
		{name: "address-behind-a-name-moves", kinds: []kind{headless, host, block, everything}, play: func(r *run) {
			stop := r.webUntil(0, func(q *request) { q.answer(200, "old") })
			r.web(1, func(q *request) { q.answer(200, "new") })
			// A client that looks the name up whenever it connects, and connects when it has no connection.
			r.client(func(p *peer) {
				p.ask("GET", "/1")
				stop()
				r.setEndpoints(1)
				p.over()
			})
			if p := r.dialAs("client again", r.at(1), patience); p != nil {
				p.ask("GET", "/2")
				p.ask("GET", "/3")
			}
		}},
		{name: "address-moves-away-without-a-word", kinds: []kind{headless, host, block}, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "old") })
			r.web(1, func(q *request) { q.answer(200, "new") })
			r.client(func(p *peer) {
				p.ask("GET", "/1")
				r.cut(0)
				r.setEndpoints(1)
				p.wait(1500 * time.Millisecond).say(r.to("GET", "/2"))
				p.response()
				p.close()
			})
			if p := r.dialAs("client again", r.at(1), patience); p != nil {
				p.ask("GET", "/3")
			}
		}},
	}
}

// cut has the network swallow everything to and from server i.
func (r *run) cut(i int) {
	a := serverAddrs(i)
	r.world.nft(r, r.world.node, fmt.Sprintf("add rule inet cut forward ip daddr %s drop\nadd rule inet cut forward ip saddr %s drop\n"+
		"add rule inet cut forward ip6 daddr %s drop\nadd rule inet cut forward ip6 saddr %s drop", a.v4, a.v4, a.v6, a.v6))
}

// heal ends all cuts.
func (r *run) heal() {
	r.world.nft(r, r.world.node, "flush chain inet cut forward\nadd rule inet cut forward ip daddr "+blackhole.String()+" drop")
}

// outage cuts server 0 off for a while, during which something is done.
func (r *run) outage(d time.Duration, fn func()) {
	r.cut(0)
	fn()
	time.Sleep(d)
	r.heal()
}

// webUntil serves like web until the returned function is called: it ends the listener and every connection, as the end of a process
// does.
func (r *run) webUntil(i int, handle func(q *request)) (stop func()) {
	r.web(i, handle)
	r.mu.Lock()
	l := r.listeners[len(r.listeners)-1]
	r.mu.Unlock()
	return func() {
		_ = l.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range r.servers {
			s.close()
		}
	}
}
