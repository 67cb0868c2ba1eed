package differential

import (
	"fmt"
	"time"
)

// What happens in the pod beside its calls: other redirects, rules that are flushed, sockets that are bound, policies that come and go.

func podScenarios() []scenario {
	return []scenario{
		{name: "sidecar-that-redirects", kinds: []kind{service, headless, host, everything}, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "yes") })
			r.sidecar()
			r.pod("curl", "-sS", "-i", "--max-time", "8", "-H", "Host: "+r.authority(), fmt.Sprintf("http://%s/", r.addr()))
		}},
		{name: "rules-flushed-between-calls", kinds: httpKinds, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "yes") })
			r.client(func(p *peer) {
				p.ask("GET", "/1")
				r.world.nft(r, r.world.pod, "flush ruleset")
				p.ask("GET", "/2")
			})
			r.client(func(p *peer) { p.ask("GET", "/3") })
		}, differs: []difference{brokenByFlush}},
		{name: "connection-tracking-flushed-under-a-download", kinds: []kind{service, headless, host, serviceTCP}, play: func(r *run) {
			r.web(0, func(q *request) {
				q.p.say("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + noise(100))
				r.after("flushed")
				q.p.say(noise(100))
			})
			r.client(func(p *peer) {
				p.say(r.to("GET", "/"))
				p.readHead()
				p.hear(100)
				r.world.shell(r, r.world.pod, "conntrack -F 2>/dev/null")
				r.mark("flushed")
				p.wait(3 * time.Second).hear(100)
			})
		}, differs: []difference{stalledByFlush}},
		{name: "socket-bound-to-an-interface", kinds: httpKinds, uncaptured: true, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "yes") })
			r.pod("curl", "-sS", "-i", "--max-time", "4", "--interface", "if!eth0", "-H", "Host: "+r.authority(), fmt.Sprintf("http://%s/", r.addr()))
		}, differs: []difference{boundLate}},
		{name: "socket-bound-to-an-address", kinds: httpKinds, play: func(r *run) {
			r.web(0, func(q *request) { q.p.note("is called by %s", peerOf(q)); q.answer(200, "yes") })
			r.pod("curl", "-sS", "-i", "--max-time", "4", "--interface", "host!"+podAddrs.v4.String(), "-H", "Host: "+r.authority(), fmt.Sprintf("http://%s/", r.addr()))
		}},
		{name: "servers-see-the-pods-address", kinds: append(httpKinds, serviceTCP, neighbour), play: func(r *run) {
			r.web(0, func(q *request) { q.p.note("is called by %s", peerOf(q)); q.answer(200, "yes") })
			r.client(func(p *peer) { p.ask("GET", "/") })
		}},
		{name: "calls-within-the-pod", kinds: []kind{everything}, uncaptured: true, play: func(r *run) {
			r.pod("sh", "-c", "busybox nc -l -p 7000 -e echo yes & sleep 0.3; busybox nc 127.0.0.1 7000 </dev/null; wait")
		}},
	}
}

func peerOf(q *request) string {
	host, _, _ := cutLast(q.p.conn.RemoteAddr().String())
	return host
}

// sidecar has another proxy of the pod take its connections, as service meshes do: socat, run by a user of its own, which is left alone
// by the redirect.
func (r *run) sidecar() {
	const user, port = 1337, 15001
	r.world.nft(r, r.world.pod, fmt.Sprintf(`
table ip mesh {
	chain output { type nat hook output priority -100;
		meta skuid %d return
		ip daddr 127.0.0.0/8 return
		meta l4proto tcp redirect to :%d
	}
}`, user, port))
	r.start(r.world.pod, "socat", fmt.Sprintf("TCP-LISTEN:%d,fork,reuseaddr,setuid=%d", port, user), fmt.Sprintf("TCP:%s,setuid=%d", r.addr(), user))
	for range 100 { // until it listens; a connection made for that would be passed on
		if r.listening(r.world.pod, port) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.Error("the sidecar does not listen")
}

func policyScenarios() []scenario {
	kinds := []kind{service, headless, host, everything, serviceTCP}
	return []scenario{
		{name: "removed-under-an-opaque-connection", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%yes\n"); p.hear(6); p.say("%good\n"); p.rest() })
			r.client(func(p *peer) {
				p.say(hello)
				p.hear(5)
				r.forgetPolicy()
				p.say("%then\n")
				p.hear(6)
				p.finish()
				p.rest()
			})
		}},
		{name: "removed-during-a-call", kinds: kinds, play: func(r *run) {
			r.web(0, func(q *request) { r.mark("asked"); r.after("removed"); q.answer(200, "yes") })
			r.client(func(p *peer) {
				p.say(r.to("GET", "/"))
				r.after("asked")
				r.forgetPolicy()
				r.mark("removed")
				p.response()
			})
		}},
		{name: "removed-between-calls-of-one-connection", kinds: kinds, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "yes") })
			r.client(func(p *peer) { p.ask("GET", "/1"); r.forgetPolicy(); p.ask("GET", "/2") })
			r.client(func(p *peer) { p.ask("GET", "/3") })
		}},
		{name: "comes-under-a-connection", kinds: kinds, uncaptured: true, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "yes") })
			r.forgetPolicy()
			r.client(func(p *peer) {
				p.ask("GET", "/1")
				r.install()
				p.ask("GET", "/2")
				r.client(func(p *peer) { p.ask("GET", "/3") })
				p.ask("GET", "/4")
			})
		}},
		{name: "agent-stops-during-a-call", kinds: kinds, play: func(r *run) {
			r.web(0, func(q *request) {
				r.mark("asked")
				r.after("stopping")
				time.Sleep(300 * time.Millisecond)
				q.answer(200, "yes")
			})
			r.client(func(p *peer) {
				p.say(r.to("GET", "/"))
				r.after("asked")
				stopped := r.stopAgent()
				r.mark("stopping")
				p.response()
				p.close()
				<-stopped
			})
			r.client(func(p *peer) { p.ask("GET", "/after") })
		}},
		{name: "agent-stops-under-an-opaque-connection", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%yes\n"); p.hear(6); p.say("%good\n"); p.rest() })
			r.client(func(p *peer) {
				p.say(hello)
				p.hear(5)
				stopped := r.stopAgent()
				time.Sleep(300 * time.Millisecond)
				p.say("%then\n")
				p.hear(6)
				p.close()
				<-stopped
			})
		}},
	}
}

// stopAgent begins a stop in governed runs; the channel tells when it is over.
func (r *run) stopAgent() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r.agent != nil {
			r.agent.Stop()
		}
	}()
	return done
}
