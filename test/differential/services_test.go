package differential

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// What a Service promises, and addresses of both families.

func serviceScenarios() []scenario {
	two := setting{endpoints: []int{0, 1}}
	sticky := setting{endpoints: []int{0, 1}, choice: bySource, asks: affinity}
	local := setting{endpoints: []int{0, 1}, choice: onlyFirst, asks: firstIsLocal}
	zonal := setting{endpoints: []int{0, 1}, choice: onlyFirst, asks: firstIsInZone}
	nowhere := setting{endpoints: []int{0, 1}, choice: dropped, asks: noneIsLocal}
	both := []kind{service, serviceHTTP, translated}
	named := func(r *run) {
		for i := range 2 {
			r.quietWeb(i, func(q *request) { q.p.sayQuietly(ok(fmt.Sprintf("server %d", i))) })
		}
	}
	// calls makes n calls, each on a connection of its own, and counts who answers.
	calls := func(r *run, n int) map[string]int {
		counts := map[string]int{}
		for i := range n {
			counts[r.quietCall(i)]++
		}
		return counts
	}
	return []scenario{
		{name: "all-endpoints-are-used", kinds: append(both, serviceTCP), setting: two, play: func(r *run) {
			named(r)
			counts := calls(r, 40)
			r.seen.note("clients", "both answer: %v, nobody else: %v", counts["server 0"] > 0 && counts["server 1"] > 0, len(counts) == 2)
		}},
		{name: "affinity-by-client-address", kinds: append(both, serviceTCP), setting: sticky, play: func(r *run) {
			named(r)
			counts := calls(r, 40)
			r.seen.note("clients", "%d server answers", len(counts))
		}},
		// In either case, and whether a request was spoken or something else, it is the same endpoint.
		{name: "affinity-whoever-speaks-first", kinds: []kind{service}, setting: sticky, play: func(r *run) {
			for i := range 2 {
				r.serve(i, func(p *peer) {
					p.silent = true
					p.sayQuietly(fmt.Sprintf("%%server %d\n", i))
					p.rest()
				})
			}
			counts := map[string]int{}
			for i := range 12 {
				p := r.dialAs(fmt.Sprintf("quiet client %d", i), r.addr(), patience)
				if p == nil {
					continue
				}
				if i%2 == 0 {
					p.sayQuietly("%hello\n")
				}
				line, _ := p.in.ReadString('\n')
				counts[line]++
				p.close()
			}
			r.seen.note("clients", "%d server answers", len(counts))
		}},
		{name: "only-the-nodes-own-endpoints", kinds: append(both, serviceTCP), setting: local, play: func(r *run) {
			named(r)
			r.seen.note("clients", "answers %v", calls(r, 20))
		}},
		{name: "only-the-zones-endpoints", kinds: append(both, serviceTCP), setting: zonal, play: func(r *run) {
			named(r)
			r.seen.note("clients", "answers %v", calls(r, 20))
		}},
		{name: "no-endpoint-on-the-node", kinds: append(both, serviceTCP), setting: nowhere, uncaptured: true, play: func(r *run) {
			named(r)
			if p := r.dialAs("client", r.addr(), time.Second); p != nil {
				p.rest()
			}
		}},
		{name: "one-endpoint-fails-fast", kinds: both, setting: two, play: func(r *run) {
			r.quietWeb(0, func(q *request) { time.Sleep(5 * time.Millisecond); q.p.sayQuietly(ok("good")) })
			r.quietWeb(1, func(q *request) { q.p.sayQuietly(answerOf("503 Busy", "bad")) })
			good := 0
			var mu sync.Mutex
			r.together(10, func(i int) string {
				for k := range 20 {
					if r.quietCall(100*i+k) == "good" {
						mu.Lock()
						good++
						mu.Unlock()
					}
				}
				return "done"
			})
			r.seen.note("clients", "at least four in ten are good: %v", good >= 80)
		}},
		{name: "one-endpoint-refuses", kinds: both, setting: two, play: func(r *run) {
			r.quietWeb(0, func(q *request) { q.p.sayQuietly(ok("good")) })
			good := 0
			for i := range 40 {
				if r.quietCall(i) == "good" {
					good++
				}
			}
			r.seen.note("clients", "at least four in ten are good: %v", good >= 16)
		}},
		{name: "endpoint-leaves-between-calls", kinds: both, setting: two, play: func(r *run) {
			named(r)
			calls(r, 10)
			r.setEndpoints(0)
			r.seen.note("clients", "answers %v", calls(r, 10))
		}},
		{name: "endpoint-comes-between-calls", kinds: both, play: func(r *run) {
			named(r)
			r.seen.note("clients", "answers %v", calls(r, 10))
			r.setEndpoints(0, 1)
			counts := calls(r, 40)
			r.seen.note("clients", "both answer: %v", counts["server 0"] > 0 && counts["server 1"] > 0)
		}},
		{name: "endpoint-leaves-during-a-call", kinds: both, setting: two, play: func(r *run) {
			for i := range 2 {
				r.quietWeb(i, func(q *request) { r.mark("asked"); r.after("left"); q.p.sayQuietly(ok("finished")) })
			}
			done := make(chan string, 1)
			go func() { done <- r.quietCall(0) }()
			r.after("asked")
			r.setEndpoints()
			r.mark("left")
			r.seen.note("client", "hears %s", <-done)
		}},
		{name: "endpoint-leaves-under-a-websocket", kinds: both, play: func(r *run) {
			r.web(0, func(q *request) {
				q.p.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
				q.p.hear(4)
				q.p.say("pong")
				q.p.ended = "over"
			})
			r.client(func(p *peer) {
				p.ask("GET", "/", "Connection: Upgrade", "Upgrade: websocket")
				r.setEndpoints(1)
				p.quiet(time.Second)
				p.say("ping")
				p.hear(4)
			})
		}},
		{name: "endpoint-leaves-under-an-opaque-connection", kinds: []kind{service, serviceTCP, headless}, play: func(r *run) {
			r.serve(0, func(p *peer) { p.expect("%"); r.mark("connected"); p.hear(len(hello) - 1); p.say("%yes\n"); p.rest() })
			r.client(func(p *peer) {
				p.say("%")
				r.after("connected")
				r.setEndpoints(1)
				p.quiet(time.Second)
				p.say(hello[1:])
				p.hear(5)
			})
		}},
		{name: "endpoint-leaves-under-an-event-stream", kinds: both, play: func(r *run) {
			r.web(0, func(q *request) {
				q.p.say(streamHead + chunk("one"))
				r.after("left")
				q.p.say(chunk("two") + lastChunk)
			})
			r.client(func(p *peer) {
				p.say(r.to("GET", "/"))
				p.readHead()
				p.hear(len(chunk("one")))
				r.setEndpoints(1)
				p.quiet(500 * time.Millisecond)
				r.mark("left")
				p.body(fields{"Transfer-Encoding: chunked"}, true)
			})
		}},
		{name: "last-endpoint-leaves", kinds: []kind{service, serviceHTTP, serviceTCP}, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, "yes") })
			r.client(func(p *peer) { p.ask("GET", "/1"); p.close() })
			r.setEndpoints()
			if p := r.dialAs("late client", r.addr(), patience); p != nil {
				p.ask("GET", "/2")
			}
		}},
		{name: "port-that-the-service-lacks", kinds: []kind{service}, uncaptured: true, play: func(r *run) {
			if p := r.dialAs("client", netip.AddrPortFrom(blackhole, 81), time.Second); p != nil {
				p.rest()
			}
		}},
	}
}

// What Services ask.

func affinity(_ *run, d *policy.Destination) { d.Affinity = time.Hour }

func firstIsLocal(r *run, d *policy.Destination) {
	noneIsLocal(r, d)
	atFirst(r, d, func(e *policy.Endpoint) { e.Node = nodeName })
}

func noneIsLocal(_ *run, d *policy.Destination) {
	d.LocalOnly = true
	for i := range d.Ports[0].Endpoints {
		d.Ports[0].Endpoints[i].Node = "another node"
	}
}

func firstIsInZone(r *run, d *policy.Destination) {
	for i := range d.Ports[0].Endpoints {
		d.Ports[0].Endpoints[i].ForZones = []string{"another zone"}
	}
	atFirst(r, d, func(e *policy.Endpoint) { e.ForZones = append(e.ForZones, zoneName) })
}

// atFirst describes the endpoint of server 0.
func atFirst(r *run, d *policy.Destination, describe func(*policy.Endpoint)) {
	for i := range d.Ports[0].Endpoints {
		if e := &d.Ports[0].Endpoints[i]; e.Addr == r.at(0) {
			describe(e)
		}
	}
}

// quietCall makes a call on a connection of its own and returns the body of the answer, or what went wrong.
func (r *run) quietCall(i int) string {
	p := r.dialAs(fmt.Sprintf("quiet client %d", i), r.addr(), patience)
	if p == nil {
		return "cannot connect"
	}
	defer p.close()
	if !p.sayQuietly(r.to("GET", fmt.Sprintf("/%d", i))) {
		return "cannot send"
	}
	raw, err := p.readHead()
	if err != nil {
		return "no answer, " + errorClass(err)
	}
	first, fs, _ := readable(raw)
	d := newDigest()
	var n int64
	_, _ = fmt.Sscan(fs.get("Content-Length"), &n)
	if err := p.copyN(d, n); err != nil {
		return errorClass(err)
	}
	if body := d.start.String(); n < 20 {
		return body
	}
	return first
}

func dualStackScenarios() []scenario {
	six := setting{v6: true}
	all := []kind{service, headless, host, block, serviceHTTP}
	list := []scenario{
		{name: "call-by-ipv6", kinds: all, setting: six, play: func(r *run) {
			r.web(0, func(q *request) { q.answer(200, q.target) })
			r.client(func(p *peer) { p.ask("GET", "/1"); p.ask("GET", "/2") })
		}},
		{name: "opaque-by-ipv6", kinds: rawKinds, setting: six, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); p.say("%yes") })
			r.client(func(p *peer) { p.say(hello); p.finish(); p.rest() })
		}},
		{name: "server-without-ipv6-called-by-it", kinds: all, setting: six, play: func(r *run) {
			r.web4(0)
			r.client(func(p *peer) { p.ask("GET", "/") })
		}, differs: []difference{answered("connect_failure")}},
		{name: "client-that-tries-the-other-family", kinds: []kind{headless, host, everything}, setting: six, play: func(r *run) {
			r.web4(0)
			r.curl("-sS", "-i", "http://"+r.authority()+"/")
		}, differs: []difference{otherAddressRefused}},
		{name: "dead-ipv6-beside-good-ipv4", kinds: []kind{headless, host, everything}, setting: six, play: func(r *run) {
			r.web4(0)
			r.world.nft(r, r.world.node, "add rule inet cut forward ip6 daddr "+serverAddrs(0).v6.String()+" drop")
			r.curl("-sS", "-i", "--max-time", "3", "http://"+r.authority()+"/")
		}, differs: []difference{otherAddressSilent}},
	}
	return list
}

// curl runs curl, which finds the server's name with its addresses of both families.
func (r *run) curl(args ...string) {
	a := serverAddrs(0)
	r.pod(append([]string{"curl", "--max-time", "8", "--resolve", fmt.Sprintf("%s:%d:[%s],%s", serverName, serverPort, a.v6, a.v4)}, args...)...)
}

// web4 is a server that listens on IPv4 only.
func (r *run) web4(i int) {
	l := r.listenAt(i, netip.AddrPortFrom(netip.IPv4Unspecified(), serverPort))
	r.accept(i, l, func(p *peer) {
		r.requests(p, fmt.Sprintf("server %d", i), func(q *request) { q.p.say(ok("IPv4")) })
	})
}
