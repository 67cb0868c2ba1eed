package differential

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// Streams and connections of HTTP/2 that end in other ways: resets of both sides, GOAWAY, connections that break.

func http2EndScenarios() []scenario {
	return slices.Concat(serverResetScenarios(), clientResetScenarios(), connectionEndScenarios())
}

func serverResetScenarios() []scenario {
	var list []scenario
	for name, code := range map[string]http2.ErrCode{
		"internal": http2.ErrCodeInternal, "cancel": http2.ErrCodeCancel, "calm": http2.ErrCodeEnhanceYourCalm, "unknown": 0xbad,
	} {
		list = append(list,
			overHTTP2("server-resets-with-"+name, func(c *h2client) {
				c.post("/", "content").message()
			}, func(s *h2stream) { s.message(); _ = s.Reset(code) }).but(resetIsAnswered).under(fewKinds...),
			overHTTP2("server-resets-behind-the-head-with-"+name, func(c *h2client) {
				c.headed("/1").message()
				c.headed("/2").message()
			}, func(s *h2stream) {
				_ = s.Headers(false, http2test.F(":status", "200"))
				s.afterHead()
				_ = s.Reset(code)
			}).under(fewKinds...))
	}
	return append(list,
		overHTTP2("server-resets-in-the-middle", func(c *h2client) {
			c.half("/").message()
			c.half("/after").message()
		}, func(s *h2stream) {
			head, _ := s.Head()
			_ = s.Headers(false, http2test.F(":status", "200", "content-length", "100"))
			_ = s.Data([]byte("half"), false)
			s.afterHead()
			if strings.HasSuffix(head.Get(":path"), "after") {
				_ = s.Data([]byte(noise(96)), true)
				return
			}
			_ = s.Reset(http2.ErrCodeInternal)
		}),
		overHTTP2("server-resets-behind-its-trailers", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/"))
			s.message()
			s.expectReset()
		}, func(s *h2stream) {
			_ = s.Headers(false, http2test.F(":status", "200"))
			_ = s.Data([]byte("content"), false)
			_ = s.Headers(true, http2test.F("x-end", "1"))
			_ = s.Reset(http2.ErrCodeNo)
		}),
		overHTTP2("server-resets-an-upload", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/"))
			_ = s.Data([]byte("content"), false)
			s.message()
		}, func(s *h2stream) { _, _ = s.Received(7); _ = s.Reset(http2.ErrCodeCancel) }).but(resetIsAnswered),
		refusing("a-stream-that-is-refused-once", 1).but(refusedIsRepeated),
		refusing("a-stream-that-is-always-refused", 100).but(refusedIsRefused),
	)
}

// headed begins a call and marks that its head has come, half that the first bytes of its body have; afterHead waits for that.
func (c *h2client) headed(path string) *h2stream {
	s := c.get(path)
	_, _ = s.Head()
	c.r.mark("head of " + path)
	return s
}

func (c *h2client) half(path string) *h2stream {
	s := c.get(path)
	_, _ = s.Received(int64(len("half")))
	c.r.mark("head of " + path)
	return s
}

func (s *h2stream) afterHead() {
	head, _ := s.Head()
	s.r.after("head of " + head.Get(":path"))
}

// refusing has the server refuse as many streams of a client.
func refusing(name string, times int64) scenario {
	return scenario{name: name, kinds: h2Kinds, play: func(r *run) {
		var n atomic.Int64
		r.streamsOf(0, http2test.Options{}, func(s *h2stream) {
			s.message()
			if n.Add(1) <= times {
				_ = s.Reset(http2.ErrCodeRefusedStream)
				return
			}
			s.answer(200, "fine")
		})
		r.speaks(http2test.Options{}, func(c *h2client) { c.post("/", "content").message() })
	}}
}

func clientResetScenarios() []scenario {
	var list []scenario
	for name, code := range map[string]http2.ErrCode{"cancel": http2.ErrCodeCancel, "internal": http2.ErrCodeInternal, "unknown": 0xbad} {
		list = append(list,
			overHTTP2("client-resets-with-"+name, func(c *h2client) {
				s := c.post("/", "content")
				c.r.after("asked")
				_ = s.Reset(code)
				c.r.after("reset")
				c.get("/after").message()
			}, func(s *h2stream) {
				if head, _ := s.Head(); head.Get(":path") == "/after" {
					s.answer(200, "fine")
					return
				}
				s.message()
				s.r.mark("asked")
				s.expectReset()
				s.r.mark("reset")
			}).under(fewKinds...),
			overHTTP2("client-resets-a-download-with-"+name, func(c *h2client) {
				s := c.get("/")
				_, _ = s.Received(1000)
				_ = s.Reset(code)
				c.r.after("reset")
			}, func(s *h2stream) {
				_ = s.Headers(false, http2test.F(":status", "200"))
				_ = s.Data([]byte(noise(1000)), false)
				s.expectReset()
				s.r.mark("reset")
			}).under(fewKinds...))
	}
	return append(list,
		overHTTP2("client-resets-an-upload", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/"))
			_ = s.Data([]byte("content"), false)
			c.r.after("asked")
			_ = s.Reset(http2.ErrCodeCancel)
			c.r.after("reset")
		}, func(s *h2stream) {
			_, _ = s.Received(7)
			s.r.mark("asked")
			s.message()
			s.r.mark("reset")
		}),
		overHTTP2("client-leaves-with-streams-open", func(c *h2client) {
			c.get("/")
			c.r.after("asked")
			c.Close()
			c.r.after("gone")
		}, func(s *h2stream) {
			s.r.mark("asked")
			_, err := s.AwaitReset()
			s.note("ends: %v", err == nil || streamEnd(err) != "silence")
			s.r.mark("gone")
		}),
		overHTTP2("client-that-goes-away-and-gets-its-answers", func(c *h2client) {
			s := c.get("/")
			c.r.after("asked")
			_ = c.GoAway(0, http2.ErrCodeNo)
			c.r.mark("leaving")
			s.message()
		}, func(s *h2stream) {
			s.r.mark("asked")
			s.r.after("leaving")
			s.answer(200, "to the end")
		}),
	)
}

func connectionEndScenarios() []scenario {
	served := func(s *h2stream) { s.message(); s.answer(200, "fine") }
	return []scenario{
		{name: "server-goes-away", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, func(s *h2stream) {
				s.answer(200, "fine")
				r.after("answered")
				_ = s.Conn.GoAway(s.ID, http2.ErrCodeNo)
			})
			r.speaks(http2test.Options{}, func(c *h2client) { c.get("/").message(); r.mark("answered"); c.leaving() })
		}, differs: []difference{staysHTTP2}},
		{name: "server-goes-away-under-a-call", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, func(s *h2stream) {
				_ = s.Conn.GoAway(s.ID, http2.ErrCodeNo)
				time.Sleep(200 * time.Millisecond)
				s.answer(200, "to the end")
			})
			r.speaks(http2test.Options{}, func(c *h2client) { c.get("/").message() })
		}},
		{name: "server-closes-an-idle-connection", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, func(s *h2stream) {
				s.answer(200, "fine")
				r.after("answered")
				s.Conn.Close()
			})
			r.speaks(http2test.Options{}, func(c *h2client) {
				c.get("/").message()
				r.mark("answered")
				if _, err := c.AwaitEnd(); err != nil {
					r.seen.note("client", "stays connected")
				} else {
					r.seen.note("client", "is ended")
				}
			})
		}, differs: []difference{staysHTTP2}},
		overHTTP2("server-breaks-under-a-call", func(c *h2client) { c.post("/", "content").message() }, func(s *h2stream) {
			s.message()
			s.Conn.Abort()
		}).but(brokenIsAnswered),
		overHTTP2("server-breaks-under-an-answer", func(c *h2client) { c.half("/").message() }, func(s *h2stream) {
			_ = s.Headers(false, http2test.F(":status", "200"))
			_ = s.Data([]byte("half"), false)
			s.afterHead()
			s.Conn.Abort()
		}).but(cutIsResetHTTP2),
		overHTTP2("server-closes-under-an-answer", func(c *h2client) { c.half("/").message() }, func(s *h2stream) {
			_ = s.Headers(false, http2test.F(":status", "200"))
			_ = s.Data([]byte("half"), false)
			s.afterHead()
			s.Conn.Close()
		}).but(cutIsResetHTTP2),
		{name: "nobody-listens", kinds: []kind{headless, host}, play: func(r *run) {
			r.speaks(http2test.Options{}, func(c *h2client) { c.get("/").message() })
		}, differs: []difference{unreachableHTTP2}},
		{name: "idle-connection-that-is-used-again", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, served)
			r.speaks(http2test.Options{}, func(c *h2client) {
				c.get("/1").message()
				time.Sleep(2500 * time.Millisecond)
				r.seen.note("client", "is answered a PING: %v", c.Ping() == nil)
				c.get("/2").message()
			})
		}},
		{name: "several-connections", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, served)
			for i := range 3 {
				r.speaks(http2test.Options{}, func(c *h2client) { c.get(fmt.Sprintf("/%d", i)).message() })
			}
		}},
		{name: "client-that-says-hello-and-waits", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, served)
			r.speaks(http2test.Options{}, func(c *h2client) {
				r.seen.note("client", "is sent the server's settings: %v", c.AwaitSettingsAck(1) == nil)
				c.get("/").message()
			})
		}},
	}
}

// answeredHTTP2 is what clients see of an answer by fairlead instead of what they noted last.
func answeredHTTP2(status, why string) func(o *observation) {
	return func(o *observation) {
		for actor, lines := range o.actors {
			if !strings.HasPrefix(actor, "client, ") || len(lines) == 0 {
				continue
			}
			if last := lines[len(lines)-1]; strings.HasPrefix(last, "no head, ") {
				text := "fairlead: " + why + "\n"
				o.actors[actor] = append(lines[:len(lines)-1],
					fmt.Sprintf(":status: %s | fairlead-reason: %s | content-type: text/plain; charset=utf-8 | content-length: %d", status, why, len(text)),
					fmt.Sprintf("body %q", text))
			}
		}
	}
}

var (
	// resetIsAnswered and brokenIsAnswered are as for HTTP/1.
	resetIsAnswered  = difference{id: "failures-are-answers", adjust: answeredHTTP2("502", "reset")}
	brokenIsAnswered = resetIsAnswered
	// refusedIsRepeated: a stream that the server says it has not processed is sent again, as clients may, too.
	refusedIsRepeated = difference{id: "refused-streams-are-repeated", adjust: func(o *observation) {
		again(o, 1)
		o.actors["client, /"] = []string{":status: 200", `body "fine"`}
	}}
	// refusedIsRefused: of one that is refused again and again the client hears that, as it does without a policy.
	refusedIsRefused = difference{id: refusedIsRepeated.id, adjust: func(o *observation) { again(o, 2) }}
	// staysHTTP2 is stays for HTTP/2.
	staysHTTP2 = difference{id: stays.id, kinds: []kind{service, serviceHTTP2, dryRun(serviceHTTP2), via(v1alpha1.ProtocolHTTP2)}, adjust: func(o *observation) {
		o.actors["client"] = []string{"stays connected"}
		delete(o.spans, "everything")
	}}
	// cutIsResetHTTP2: of a connection that breaks, the streams are reset that do.
	cutIsResetHTTP2 = difference{id: cutIsReset.id, adjust: func(o *observation) {
		o.replace("client, ", func(l string) string {
			return strings.Replace(l, "then the end of the connection", "then reset INTERNAL_ERROR", 1)
		})
	}}
	// unreachableHTTP2 is refusedCall for HTTP/2.
	unreachableHTTP2 = difference{id: "failures-are-answers", adjust: func(o *observation) {
		o.actors = map[string][]string{"client, /": {"no head, "}}
		answeredHTTP2("502", "connect_failure")(o)
	}}
)

// again repeats what the server saw.
func again(o *observation, times int) {
	once := o.actors["server 0, /"]
	for range times {
		o.actors["server 0, /"] = append(o.actors["server 0, /"], once...)
	}
}
