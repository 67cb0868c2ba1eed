package proxy

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/h1"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// phase is a state in which a call can stay for ever, and the deadlines that end it.
type phase struct {
	upstream func(*peer, <-chan struct{})
	client   func(*client)
	slowDial bool
	secured  bool     // the agent speaks TLS to the upstream
	ends     []string // fields of policy.Timeouts
}

// silent says nothing more until the test ends.
func silent(_ *peer, end <-chan struct{}) { <-end }

func get(c *client) { c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }

// getAll is get by a client that takes whatever comes.
func getAll(c *client) {
	get(c)
	_, _ = io.Copy(io.Discard, c.r) // until the connection ends
}

var phases = map[string]phase{
	"the server is not reached": {
		upstream: silent, client: getAll, slowDial: true,
		ends: []string{"Connect", "PerTry", "Overall", "MaxDuration"},
	},
	"the handshake does not end": {
		upstream: silent, secured: true, ends: []string{"TLSHandshake", "PerTry", "Overall", "MaxDuration"},
		client: func(c *client) {
			c.send("GET / HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n")
			_, _ = io.Copy(io.Discard, c.r)
		},
	},
	"the upstream takes nothing": {
		upstream: silent, client: (*client).upload,
		ends: []string{"Write", "Idle", "Overall", "MaxDuration"},
	},
	"no head comes": {
		upstream: func(p *peer, end <-chan struct{}) { p.request(); <-end }, client: getAll,
		ends: []string{"PerTry", "ResponseHeader", "Idle", "Overall", "MaxDuration"},
	},
	"half a head comes": {
		upstream: func(p *peer, end <-chan struct{}) { p.request(); p.send("HTTP/1.1 200 OK\r\nA: "); <-end }, client: getAll,
		ends: []string{"PerTry", "ResponseHeader", "Idle", "Overall", "MaxDuration"},
	},
	"no answer to an upload comes": {
		upstream: func(p *peer, end <-chan struct{}) { p.request(); <-end },
		client:   func(c *client) { c.beginUpload(2); c.pause(20 * time.Millisecond); c.send("hi") },
		ends:     []string{"PerTry", "ResponseHeader", "Idle", "Overall", "MaxDuration"},
	},
	"no 100 comes": {
		upstream: func(p *peer, end <-chan struct{}) { p.headOnly(); <-end },
		client: func(c *client) {
			c.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		},
		ends: []string{"PerTry", "ResponseHeader", "Idle", "Overall", "MaxDuration"},
	},
	"interim responses come one after the other": {
		upstream: func(p *peer, end <-chan struct{}) {
			p.request()
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for {
				if _, err := io.WriteString(p, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
					return
				}
				<-tick.C
			}
		},
		client: getAll,
		ends:   []string{"PerTry", "ResponseHeader", "Overall", "MaxDuration"},
	},
	"interim responses that the client does not take": {
		upstream: func(p *peer, end <-chan struct{}) {
			p.request()
			hint := "HTTP/1.1 103 Early Hints\r\nLink: </" + strings.Repeat("x", 128<<10) + ">\r\n\r\n"
			for {
				if _, err := io.WriteString(p, hint); err != nil {
					return
				}
			}
		},
		client: get,
		ends:   []string{"Idle", "Overall", "MaxDuration"},
	},
	"no more of the body comes": {
		upstream: func(p *peer, end <-chan struct{}) {
			p.request()
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			<-end
		},
		client: getAll,
		ends:   []string{"Read", "Idle", "MaxDuration"},
	},
	"no more of a large body comes": { // which is spliced
		upstream: func(p *peer, end <-chan struct{}) {
			p.request()
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 200_000))
			<-end
		},
		client: getAll,
		ends:   []string{"Read", "Idle", "MaxDuration"},
	},
	"the client takes nothing": {
		upstream: func(p *peer, end <-chan struct{}) { p.request(); p.sendChunks() }, client: get,
		ends: []string{"Idle", "MaxDuration"},
	},
	"the client takes nothing of a large body": {
		upstream: func(p *peer, end <-chan struct{}) {
			p.request()
			p.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", muchBody))
			_, _ = io.CopyN(p, zeros{}, muchBody)
		},
		client: get,
		ends:   []string{"Idle", "MaxDuration"},
	},
	"the client sends no more": {
		upstream: func(p *peer, end <-chan struct{}) { _, _ = io.Copy(io.Discard, p.r) },
		client:   func(c *client) { c.beginUpload(10); c.send("half") },
		ends:     []string{"Idle", "Overall", "MaxDuration"},
	},
	"the client sends no more behind its answer": {
		upstream: func(p *peer, end <-chan struct{}) { p.headOnly(); p.ok("later"); _, _ = io.Copy(io.Discard, p.r) },
		client:   func(c *client) { c.beginUpload(10); c.send("half") },
		ends:     []string{"Idle", "MaxDuration"},
	},
	"the upstream takes no more behind its answer": {
		upstream: func(p *peer, end <-chan struct{}) { p.headOnly(); p.ok("later"); <-end },
		client:   (*client).upload,
		ends:     []string{"Write", "Idle", "MaxDuration"},
	},
	"neither goes on with both on their way": {
		upstream: func(p *peer, end <-chan struct{}) {
			p.headOnly()
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
			_, _ = io.Copy(io.Discard, p.r)
		},
		client: func(c *client) { c.beginUpload(10); c.send("half") },
		ends:   []string{"Read", "Idle", "MaxDuration"},
	},
	"the client takes nothing while it sends": {
		upstream: func(p *peer, end <-chan struct{}) { p.headOnly(); p.sendChunks() },
		client:   func(c *client) { c.beginUpload(10); c.send("half") },
		ends:     []string{"Idle", "MaxDuration"},
	},
}

// sendChunks sends a body without end.
func (p *peer) sendChunks() {
	p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	piece := "10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n"
	for {
		if _, err := io.WriteString(p, piece); err != nil {
			return
		}
	}
}

// Every deadline holds in every phase and both directions, whoever is silent. The table has a phase for every field that there is.
//
//enforces:http1 timeouts.connect timeouts.perTry timeouts.responseHeader timeouts.idle timeouts.read timeouts.write
//enforces:http1 timeouts.overall timeouts.maxDuration
func TestRule02_EveryDeadlineHoldsInEveryPhase(t *testing.T) {
	const limit = 120 * time.Millisecond
	tested := map[string]bool{}
	for name, p := range phases {
		for _, field := range p.ends {
			tested[field] = true
			t.Run(name+"/"+field, func(t *testing.T) {
				t.Parallel() // they wait
				end := make(chan struct{})
				set := func(s *policy.Settings) { reflect.ValueOf(&s.Timeouts).Elem().FieldByName(field).SetInt(int64(limit)) }
				start := serve
				if p.secured {
					start = serveClear
				}
				w := build(t, start(t, func(_ int, c *peer) { p.upstream(c, end) }), toAny(set))
				if p.secured {
					w.trust(tlstest.New(t))
					w.install(toTLS(func(b *policy.Binding) { b.Base.Retry.MaxRetries = 0; set(&b.Base) }))
				}
				t.Cleanup(func() { close(end) })
				if p.slowDial {
					w.dialer.slow.Store(int64(2 * patience))
				}
				c := w.dial()
				done := make(chan struct{})
				go func() { defer close(done); p.client(c) }()
				e := w.seen.lastCall(t)
				if want := detailName(field); e.Detail != want {
					t.Errorf("ended with %q, want %q: %+v", e.Detail, want, e.Outcome)
				}
				if e.Took < limit {
					t.Errorf("ended after %v", e.Took)
				}
				c.Close()
				<-done
			})
		}
	}
	fields := reflect.TypeFor[policy.Timeouts]()
	for i := range fields.NumField() {
		if name := fields.Field(i).Name; name != "Adaptive" && !tested[name] { // which stands in for PerTry, see TestRule06
			t.Errorf("%s is enforced in no phase", name)
		}
	}
}

// detailName is how the API calls a field.
func detailName(field string) routes.Detail {
	if field == "TLSHandshake" {
		return routes.DetailTLSHandshake
	}
	r := []rune(field)
	r[0] = unicode.ToLower(r[0])
	return routes.Detail("timeouts." + string(r))
}

// Who is to blame for an exchange in which nothing moves is who was waited for.
func TestRule02_IdleBlamesWhoIsWaitedFor(t *testing.T) {
	for name, want := range map[string]call.Kind{
		"no head comes": call.AttemptTimeout, "the upstream takes nothing": call.AttemptTimeout, "the client sends no more": call.ClientGone,
	} {
		t.Run(name, func(t *testing.T) {
			p := phases[name]
			end := make(chan struct{})
			w := build(t, serve(t, func(_ int, c *peer) { p.upstream(c, end) }), toAny(func(s *policy.Settings) {
				s.Timeouts.Idle = 100 * time.Millisecond
			}))
			t.Cleanup(func() { close(end) })
			c := w.dial()
			done := make(chan struct{})
			go func() { defer close(done); p.client(c) }()
			if e := w.seen.lastCall(t); e.Outcome.Kind != want {
				t.Errorf("outcome %+v, want %v", e.Outcome, want)
			}
			c.Close()
			<-done
		})
	}
}

// idle is not over while something moves, in whatever direction.
func TestRule02_WhatMovesIsNotIdle(t *testing.T) {
	const idle, step = 400 * time.Millisecond, 100 * time.Millisecond
	for name, tc := range map[string]struct {
		upstream func(*peer, func())
		client   func(*client, func())
	}{
		"the head": {upstream: func(p *peer, pause func()) {
			p.request()
			for _, s := range []string{"HTTP/1.1 ", "200 OK\r\n", "Content-", "Length: ", "1\r\n", "\r\n", "x"} {
				pause()
				p.send(s)
			}
		}},
		"interim responses": {upstream: func(p *peer, pause func()) {
			p.request()
			for range 6 {
				pause()
				p.send("HTTP/1.1 102 Processing\r\n\r\n")
			}
			p.ok("x")
		}},
		"the upload before the answer": {
			upstream: func(p *peer, _ func()) { p.request(); p.ok("x") },
			client: func(c *client, pause func()) {
				c.beginUpload(6)
				for range 6 {
					pause()
					c.send("u")
				}
			},
		},
		"the upload beside the answer": {
			upstream: func(p *peer, _ func()) {
				p.headOnly()
				p.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
				_, _ = io.CopyN(io.Discard, p.r, 6)
				p.send("x")
			},
			client: func(c *client, pause func()) {
				c.beginUpload(6)
				for range 6 {
					pause()
					c.send("u")
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pause := func() { (&client{t: t}).pause(step) }
			w := build(t, serve(t, func(_ int, p *peer) { tc.upstream(p, pause) }), toAny(func(s *policy.Settings) {
				s.Timeouts.Idle, s.Timeouts.Read, s.Timeouts.Write = idle, idle, idle // as compiled from idle alone
			}))
			c := w.dial()
			if tc.client == nil {
				get(c)
			} else {
				tc.client(c, pause)
			}
			res, body := c.response("GET")
			for res.StatusCode == 102 {
				res, body = c.response("GET")
			}
			if res.StatusCode != 200 || body != "x" {
				t.Errorf("got %d %q, report %+v", res.StatusCode, body, w.seen.lastCall(t))
			}
		})
	}
}

// Interim responses are bounded in number.
func TestRule29_InterimResponsesAreBounded(t *testing.T) {
	w := build(t, serve(t, func(_ int, p *peer) {
		if _, _, ok := p.request(); !ok {
			return
		}
		for range 3 * h1.MaxInterim {
			if _, err := io.WriteString(p, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
				return
			}
		}
	}), toAny(nil))
	c := w.dial()
	get(c)
	var got []int
	for len(got) == 0 || got[len(got)-1] == 102 {
		res, _ := c.response("GET")
		got = append(got, res.StatusCode)
	}
	if last := got[len(got)-1]; last != 502 || len(got) != h1.MaxInterim+1 {
		t.Errorf("%d responses, the last %d", len(got), last)
	}
	if e := w.seen.lastCall(t); e.Detail != routes.DetailInterim || e.Outcome.Kind != call.BadResponse {
		t.Errorf("%+v", e)
	}
}
