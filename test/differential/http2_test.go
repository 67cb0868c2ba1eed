package differential

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
)

// Exchanges over HTTP/2 that come to their end.

func http2Scenarios() []scenario {
	echo := func(s *h2stream) { s.message(); s.answer(200, "fine", "x-server", "yes") }
	asked := func(path string, more ...string) func(c *h2client) {
		return func(c *h2client) { c.get(path, more...).message() }
	}
	return slices.Concat([]scenario{
		overHTTP2("get", asked("/thing?q=1", "accept", "*/*", "x-twice", "1", "x-twice", "2"), echo),
		overHTTP2("three-on-one-connection", func(c *h2client) {
			for _, path := range []string{"/1", "/2", "/3"} {
				c.get(path).message()
			}
		}, echo),
		overHTTP2("post", func(c *h2client) { c.post("/up", "content", "content-type", "text/plain").message() }, echo),
		overHTTP2("post-with-a-length", func(c *h2client) { c.post("/up", "content", "content-length", "7").message() }, echo),
		overHTTP2("empty-post", func(c *h2client) { c.post("/up", "").message() }, echo),
		overHTTP2("head", func(c *h2client) { c.begin(true, c.head("HEAD", "/")).message() }, func(s *h2stream) { s.message(); s.answer(200, "", "content-length", "4000") }),
		overHTTP2("no-content", asked("/"), func(s *h2stream) { s.answer(204, "", "etag", `"1"`) }),
		overHTTP2("not-modified", asked("/", "if-none-match", `"1"`), func(s *h2stream) { s.answer(304, "", "etag", `"1"`, "content-length", "4000") }),
		overHTTP2("redirect", asked("/"), func(s *h2stream) { s.answer(302, "", "location", "/other") }),
		overHTTP2("failures", func(c *h2client) {
			for _, path := range []string{"/500", "/503", "/429", "/404"} {
				c.get(path).message()
			}
		}, func(s *h2stream) {
			head, _ := s.Head()
			var status int
			_, _ = fmt.Sscanf(head.Get(":path"), "/%d", &status)
			s.answer(status, "no", "retry-after", "0")
		}),
		overHTTP2("trailers-both-ways", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/", "te", "trailers", "trailer", "x-sum"))
			_ = s.Data([]byte("content"), false)
			_ = s.Headers(true, http2test.F("x-sum", "1", "x-sum", "2"))
			s.message()
		}, func(s *h2stream) {
			s.message()
			_ = s.Headers(false, http2test.F(":status", "200"))
			_ = s.Data([]byte("content"), false)
			_ = s.Headers(true, http2test.F("x-end", "yes"))
		}),
		overHTTP2("trailers-without-content", func(c *h2client) { c.get("/").message() }, func(s *h2stream) {
			_ = s.Headers(false, http2test.F(":status", "200"))
			_ = s.Headers(true, http2test.F("x-end", "yes"))
		}),
		overHTTP2("interim-responses", asked("/"), func(s *h2stream) {
			s.interim("103", "link", "</style.css>; rel=preload")
			s.interim("103", "link", "</script.js>; rel=preload")
			s.interim("102")
			s.answer(200, "at last")
		}),
		overHTTP2("continue", func(c *h2client) {
			s := c.begin(false, c.head("PUT", "/", "expect", "100-continue"))
			interims, err := s.Interims(1)
			s.note("interim %v, %v", len(interims), err)
			_ = s.Data([]byte("content"), true)
			s.message()
		}, func(s *h2stream) { s.interim("100"); s.message(); s.answer(200, "taken") }),
		overHTTP2("an-expectation-that-fails", func(c *h2client) {
			s := c.begin(false, c.head("PUT", "/", "expect", "100-continue"))
			s.message()
			_ = s.Reset(http2.ErrCodeCancel)
			c.get("/after").message()
		}, func(s *h2stream) { s.answer(417, "no") }),
		overHTTP2("an-expectation-that-nobody-minds", func(c *h2client) {
			s := c.begin(false, c.head("PUT", "/", "expect", "100-continue"))
			time.Sleep(300 * time.Millisecond)
			_ = s.Data([]byte("content"), true)
			s.message()
		}, func(s *h2stream) { s.message(); s.answer(200, "taken") }),
		overHTTP2("cookies-in-crumbs", asked("/", "cookie", "a=1", "cookie", "b=2", "x-between", "1", "cookie", "c=3"), echo),
		overHTTP2("fields-never-to-be-indexed", asked("/", "!authorization", "secret", "authorization2", "open"), func(s *h2stream) {
			s.message()
			s.answer(200, "", "!set-cookie", "secret", "x-open", "1")
		}),
		overHTTP2("odd-values", asked("/", "x-empty", "", "x-latin", "caf\xe9", "x-tab", "a\tb", "x-quotes", `"a" \b`), echo),
		overHTTP2("host-instead-of-authority", func(c *h2client) {
			c.begin(true, http2test.F(":method", "GET", ":scheme", "http", ":path", "/", "host", c.r.authority())).message()
		}, echo),
		overHTTP2("another-order-of-pseudo-fields", func(c *h2client) {
			c.begin(true, http2test.F(":path", "/", ":authority", c.r.authority(), ":scheme", "https", ":method", "GET")).message()
		}, echo),
		overHTTP2("odd-methods", func(c *h2client) {
			c.begin(true, c.head("BREW", "/pot")).message()
			c.begin(true, c.head("OPTIONS", "*")).message()
		}, echo),
		overHTTP2("large-heads", func(c *h2client) {
			s := c.begin(true, c.head("GET", "/", "x-large", noise(40_000)))
			s.message()
		}, func(s *h2stream) { s.message(); s.answer(200, "", "x-large", noise(40_000), "x-more", "1") }),
		overHTTP2("many-fields", func(c *h2client) {
			var more []string
			for i := range 500 {
				more = append(more, fmt.Sprintf("x-%d", i), fmt.Sprint(i))
			}
			c.get("/", more...).message()
		}, echo),
		overHTTP2("many-at-a-time", func(c *h2client) {
			var all sync.WaitGroup
			for i := range 40 {
				s := c.post(fmt.Sprintf("/%d", i), fmt.Sprintf("content %d", i))
				all.Go(func() { s.message() })
			}
			all.Wait()
		}, func(s *h2stream) {
			s.message()
			body, _ := s.Body()
			s.answer(200, strings.ToUpper(string(body)))
		}),
	}, http2BodyScenarios(), http2ConnectScenarios())
}

func http2BodyScenarios() []scenario {
	return []scenario{
		overHTTP2("large-content-both-ways", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/"))
			done := make(chan error, 1)
			go func() { done <- s.Data([]byte(noise(512<<10)), true) }()
			s.message()
			<-done
		}, func(s *h2stream) {
			s.message()
			s.answer(200, noise(1<<20))
		}).under(fewKinds...).inTime(busySlack),
		overHTTP2("padding", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/"))
			_, _ = s.Padded([]byte("con"), 200, false)
			_, _ = s.Padded([]byte("tent"), 0, false)
			_, _ = s.Padded(nil, 100, true)
			s.message()
		}, func(s *h2stream) {
			s.message()
			_ = s.HeadersIn(http2test.Shape{Pad: 100, Priority: true}, false, http2test.F(":status", "200"))
			_, _ = s.Padded([]byte("answer"), 255, true)
		}),
		overHTTP2("events-each-as-it-comes", func(c *h2client) {
			s := c.get("/")
			_, _ = s.Head()
			c.r.mark("head")
			for i := range 3 {
				n, err := s.Received(int64(8 * (i + 1)))
				s.note("%d bytes, %v", n, err)
				c.r.mark(fmt.Sprint("heard ", i))
			}
			s.message()
		}, func(s *h2stream) {
			_ = s.Headers(false, http2test.F(":status", "200", "content-type", "text/event-stream"))
			s.r.after("head")
			for i := range 3 {
				_ = s.Data([]byte("data: x\n"), false)
				s.r.after(fmt.Sprint("heard ", i))
			}
			_ = s.Data(nil, true)
		}),
		overHTTP2("both-talk-in-turn", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/"))
			for i := range 5 {
				_ = s.Data([]byte("ping"), i == 4)
				n, err := s.Received(int64(4 * (i + 1)))
				s.note("%d bytes, %v", n, err)
			}
			s.message()
		}, func(s *h2stream) {
			_ = s.Headers(false, http2test.F(":status", "200"))
			for i := range 5 {
				_, _ = s.Received(int64(4 * (i + 1)))
				_ = s.Data([]byte("pong"), i == 4)
			}
			s.message()
		}),
		overHTTP2("answer-before-the-end-of-the-request", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/"))
			_ = s.Data([]byte("first"), false)
			s.message()
			_ = s.Data([]byte(" and last"), true)
			c.r.after("all came")
		}, func(s *h2stream) {
			_, _ = s.Received(5)
			s.answer(200, "early")
			s.message()
			s.r.mark("all came")
		}),
		overHTTP2("answer-that-wants-no-more", func(c *h2client) {
			s := c.begin(false, c.head("POST", "/"))
			_ = s.Data([]byte("first"), false)
			s.message()
			s.expectReset()
			c.get("/after").message()
		}, func(s *h2stream) {
			if head, _ := s.Head(); head.Get(":method") == "GET" {
				s.answer(200, "fine")
				return
			}
			_, _ = s.Received(5)
			s.answer(413, "enough")
			_ = s.Reset(http2.ErrCodeNo)
		}),
		{name: "a-client-that-reads-late", kinds: fewKinds, slack: busySlack, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, func(s *h2stream) { s.answer(200, noise(1<<20)) })
			r.speaks(http2test.Options{HoldWindows: true}, func(c *h2client) {
				s := c.get("/")
				_, _ = s.Received(65535)
				time.Sleep(500 * time.Millisecond)
				_ = c.GiveWindow(1 << 21)
				_ = s.GiveWindow(1 << 21)
				s.message()
			})
		}},
		{name: "a-client-with-small-windows", kinds: fewKinds, slack: busySlack, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, func(s *h2stream) { s.answer(200, noise(20_000)) })
			r.speaks(http2test.Options{Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 100}}}, func(c *h2client) { c.get("/").message() })
		}},
		{name: "a-server-with-small-windows", kinds: fewKinds, slack: busySlack, play: func(r *run) {
			o := http2test.Options{Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 100}, {ID: http2.SettingHeaderTableSize, Val: 0}}}
			r.streamsOf(0, o, func(s *h2stream) { s.message(); s.answer(200, "taken") })
			r.speaks(http2test.Options{}, func(c *h2client) { c.post("/", noise(20_000)).message() })
		}},
		{name: "one-stream-at-a-time", kinds: fewKinds, play: func(r *run) {
			o := http2test.Options{Settings: []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 1}}}
			r.streamsOf(0, o, func(s *h2stream) { s.message(); s.answer(200, "taken") })
			r.speaks(http2test.Options{}, func(c *h2client) {
				for i := range 5 {
					c.post(fmt.Sprintf("/%d", i), "content").message()
				}
			})
		}},
	}
}

// http2ConnectScenarios are about CONNECT, plain and extended (RFC 8441).
func http2ConnectScenarios() []scenario {
	offers := http2test.Options{Settings: []http2.Setting{{ID: http2.SettingEnableConnectProtocol, Val: 1}}}
	websocket := func(c *h2client) *h2stream {
		return c.begin(false, http2test.F(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", c.r.authority(),
			"sec-websocket-version", "13"))
	}
	// The offer may come behind the first answer: fairlead knows no server before there is a call.
	offered := func(c *h2client) bool {
		c.get("/first").message()
		for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if v, ok := c.PeerSetting(http2.SettingEnableConnectProtocol); ok && v == 1 {
				return true
			}
		}
		return false
	}
	return []scenario{
		{name: "websocket", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, offers, func(s *h2stream) {
				head, _ := s.Head()
				s.note("%s", shownFields(head))
				if head.Get(":method") != "CONNECT" {
					s.answer(200, "fine")
					return
				}
				_ = s.Headers(false, http2test.F(":status", "200"))
				_, _ = s.Received(8)
				_ = s.Data([]byte("\x81\x04yes!"), false)
				s.rest()
				_ = s.Data([]byte("\x88\x00"), true)
			})
			r.speaks(http2test.Options{}, func(c *h2client) {
				r.seen.note("client", "extended CONNECT is offered: %v", offered(c))
				s := websocket(c)
				_, _ = s.Head()
				_ = s.Data([]byte("\x81\x85masked"), false)
				n, err := s.Received(6)
				s.note("%d bytes, %v", n, err)
				_ = s.Data([]byte("\x88\x00"), true)
				s.message()
			})
		}},
		{name: "websocket-that-the-server-refuses", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, offers, func(s *h2stream) {
				head, _ := s.Head()
				s.answer(map[bool]int{true: 403, false: 200}[head.Get(":method") == "CONNECT"], "")
			})
			r.speaks(http2test.Options{}, func(c *h2client) {
				r.seen.note("client", "extended CONNECT is offered: %v", offered(c))
				s := websocket(c)
				s.message()
				_ = s.Reset(http2.ErrCodeCancel)
				c.get("/after").message()
			})
		}},
		{name: "websocket-that-nobody-offers", kinds: h2Kinds, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, func(s *h2stream) { s.answer(200, "") })
			r.speaks(http2test.Options{}, func(c *h2client) { r.seen.note("client", "extended CONNECT is offered: %v", offered(c)) })
		}},
		{name: "connect", kinds: []kind{service, headless, serviceHTTP2}, play: func(r *run) {
			r.streamsOf(0, http2test.Options{}, func(s *h2stream) {
				head, _ := s.Head()
				s.note("%s", shownFields(head))
				_ = s.Headers(false, http2test.F(":status", "200"))
				s.rest()
				_ = s.Data([]byte("THROUGH"), true)
			})
			r.speaks(http2test.Options{}, func(c *h2client) {
				s := c.begin(false, http2test.F(":method", "CONNECT", ":authority", "far.test:443"))
				_, _ = s.Head()
				_ = s.Data([]byte("through"), true)
				s.message()
			})
		}},
	}
}
