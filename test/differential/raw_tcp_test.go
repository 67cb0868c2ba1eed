package differential

import (
	"strings"
	"time"
)

// What is not HTTP: the client speaks first, in words that no HTTP request begins with.

// hello is the first line of a protocol of our own.
const hello = "%hello, this is not HTTP\n"

func rawScenarios() []scenario {
	return []scenario{
		{name: "question-and-answer", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%good day\n"); p.rest() })
			r.client(func(p *peer) { p.say(hello); p.hear(10); p.close() })
		}},
		{name: "server-ends-first", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%bye\n") })
			r.client(func(p *peer) { p.say(hello); p.rest() })
		}},
		{name: "client-ends-its-side-and-gets-its-answer", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); p.say("%all " + noise(1000)) })
			r.client(func(p *peer) { p.say(hello); p.finish(); p.rest() })
		}},
		{name: "client-ends-its-side-and-waits", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); time.Sleep(1500 * time.Millisecond); p.say("%late\n") })
			r.client(func(p *peer) { p.say(hello); p.finish(); p.rest() })
		}},
		{name: "server-ends-its-side-and-goes-on-listening", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%enough\n"); p.finish(); p.rest() })
			r.client(func(p *peer) { p.say(hello); p.rest(); p.pieces(100*time.Millisecond, "%one\n", "%two\n"); p.finish() })
		}},
		{name: "server-resets", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.reset() })
			r.client(func(p *peer) { p.say(hello); p.rest() })
		}},
		{name: "server-resets-after-a-part", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%part\n"); r.after("part"); p.reset() })
			r.client(func(p *peer) { p.say(hello); p.hear(6); r.mark("part"); p.rest() })
		}},
		{name: "client-resets", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%go on\n"); p.rest(); r.mark("over") })
			r.client(func(p *peer) { p.say(hello); p.hear(7); p.reset(); r.after("over") })
		}},
		{name: "client-closes-at-once", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); r.mark("over") })
			r.client(func(p *peer) { p.close(); r.after("over") })
		}},
		{name: "client-says-nothing-and-closes", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); r.mark("over") })
			r.client(func(p *peer) { p.quiet(300 * time.Millisecond); p.close(); r.after("over") })
		}},
		{name: "client-says-a-word-and-closes", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); r.mark("over") })
			r.client(func(p *peer) { p.say(hello); p.close(); r.after("over") })
		}},
		{name: "slow-server", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); time.Sleep(2500 * time.Millisecond); p.say("%at last\n"); p.rest() })
			r.client(func(p *peer) { p.say(hello); p.hear(9) })
		}},
		{name: "idle-in-the-middle", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) {
				p.hear(len(hello))
				p.say("%one\n")
				p.hear(5)
				p.say("%three\n")
				p.rest()
			})
			r.client(func(p *peer) { p.say(hello); p.hear(5); p.quiet(2500 * time.Millisecond); p.say("%two\n"); p.hear(7) })
		}},
		{name: "byte-by-byte", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%yes\n"); p.rest() })
			r.client(func(p *peer) { p.pieces(5*time.Millisecond, strings.Split(hello, "")...); p.hear(5) })
		}},
		{name: "much-both-ways-at-once", kinds: rawKinds, play: func(r *run) {
			big := noise(8 << 20)
			both := func(p *peer) {
				done := make(chan struct{})
				go func() { defer close(done); p.say(big); p.finish() }()
				p.rest()
				<-done
			}
			r.serve(0, both)
			r.client(func(p *peer) { p.say("%"); both(p) })
		}},
		{name: "long-upload-short-answer", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.rest(); p.say("%done\n") })
			r.client(func(p *peer) { p.say(hello + noise(16<<20)); p.finish(); p.rest() })
		}},
		{name: "server-leaves-in-the-middle-of-an-upload", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.reset() })
			r.client(func(p *peer) {
				p.say(hello)
				for p.sayQuietly(noise(64 << 10)) {
				}
				p.rest()
			})
		}},
		{name: "slow-reader-loses-nothing", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say(noise(12 << 20)) })
			r.client(func(p *peer) { p.say(hello); time.Sleep(1200 * time.Millisecond); p.rest() })
		}},
		{name: "redis-words", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(14); p.say("+PONG\r\n"); p.rest() })
			r.client(func(p *peer) { p.say("*1\r\n$4\r\nPING\r\n"); p.hear(7) })
		}},
		{name: "words-that-look-like-HTTP-for-a-while", kinds: rawKinds, play: func(r *run) {
			words := "GET the answer to everything\r\n"
			r.serve(0, func(p *peer) { p.hear(len(words)); p.say("42\r\n"); p.rest() })
			r.client(func(p *peer) { p.say(words); p.hear(4) })
		}},
	}
}

func serverFirstScenarios() []scenario {
	return []scenario{
		{name: "greeting", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.say("220 ready\r\n"); p.hear(6); p.say("221 bye\r\n") })
			r.client(func(p *peer) { p.hear(11); p.say("QUIT\r\n"); p.rest() })
		}},
		{name: "late-greeting", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) {
				time.Sleep(700 * time.Millisecond)
				p.say("220 ready\r\n")
				p.hear(6)
				p.say("221 bye\r\n")
			})
			r.client(func(p *peer) { p.hear(11); p.say("QUIT\r\n"); p.rest() })
		}},
		{name: "very-late-greeting", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { time.Sleep(3 * time.Second); p.say("220 ready\r\n"); p.hear(6) })
			r.client(func(p *peer) { p.hear(11); p.say("QUIT\r\n"); p.rest() })
		}},
		{name: "greeting-and-end", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.say("the time is now\n") })
			r.client(func(p *peer) { p.rest() })
		}},
		{name: "end-without-a-word", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(*peer) {})
			r.client(func(p *peer) { p.rest() })
		}},
		{name: "reset-without-a-word", kinds: rawKinds, play: func(r *run) {
			// Not at once: a reset may overtake the end of the client's connecting.
			r.serve(0, func(p *peer) { time.Sleep(50 * time.Millisecond); p.reset() })
			r.client(func(p *peer) { p.rest() })
		}},
		{name: "end-without-a-word-after-a-while", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(*peer) { time.Sleep(500 * time.Millisecond) })
			r.client(func(p *peer) { p.rest() })
		}},
		{name: "both-silent-then-the-client-speaks", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.hear(len(hello)); p.say("%yes\n"); p.rest() })
			r.client(func(p *peer) { p.quiet(time.Second); p.say(hello); p.hear(5) })
		}},
		{name: "client-ends-its-side-and-hears-a-greeting", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { time.Sleep(300 * time.Millisecond); p.say("220 ready\r\n"); p.rest() })
			r.client(func(p *peer) { p.finish(); p.rest() })
		}},
		{name: "long-greeting", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.say(noise(1 << 20)); p.rest() })
			r.client(func(p *peer) { p.hear(1 << 20); p.say("thanks\n"); p.finish(); p.rest() })
		}},
		{name: "greeting-that-looks-like-HTTP", kinds: rawKinds, play: func(r *run) {
			r.serve(0, func(p *peer) { p.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); p.rest() })
			r.client(func(p *peer) { p.response(); p.finish() })
		}},
	}
}
