package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/http2/http2test"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// adaptiveCase is an adaptive timeout, what attempts took before, and whether one that takes so long is in time.
type adaptiveCase struct {
	set    policy.Adaptive
	before [][]time.Duration // made one after the other; those in one group at once
	last   time.Duration
	inTime bool
}

// alike is n times the same.
func alike(n int, d time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = d
	}
	return out
}

// adaptiveCases are about every field that decides how long an attempt may take, whatever the protocol.
func adaptiveCases() map[string]adaptiveCase {
	const short, long = 30 * time.Millisecond, time.Second
	return map[string]adaptiveCase{
		"max, as long as little is known": {
			set: policy.Adaptive{Min: time.Millisecond, Max: 4 * short, Deviations: 2000, Window: 200}, before: [][]time.Duration{alike(19, 0)}, last: time.Hour,
		},
		"min": {
			set: policy.Adaptive{Min: 2 * long, Max: time.Hour, Deviations: 2000, Window: 200}, before: [][]time.Duration{alike(20, 0)}, last: 4 * short, inTime: true,
		},
		"deviations": { // with a mean of 30 ms and a deviation of as much
			set:    policy.Adaptive{Min: time.Millisecond, Max: time.Hour, Deviations: 10_000, Window: 200},
			before: [][]time.Duration{alike(10, 0), alike(10, 2*short)}, last: 6 * short, inTime: true,
		},
		"window": {
			set:    policy.Adaptive{Min: time.Millisecond, Max: time.Hour, Deviations: 0, Window: 20},
			before: [][]time.Duration{alike(20, long), alike(20, 0)}, last: long / 5,
		},
	}
}

func (tc *adaptiveCase) to(b policy.Binding) policy.Binding {
	b.Base.Timeouts.Adaptive = tc.set
	b.Base.Retry.MaxRetries = 0
	return b
}

// calls is how many there are before the last one.
func (tc *adaptiveCase) calls() (n int) {
	for _, group := range tc.before {
		n += len(group)
	}
	return n
}

// ended checks how the last call ended.
func (tc *adaptiveCase) ended(t *testing.T, w *testProxy) {
	t.Helper()
	e := w.seen.lastCall(t)
	if tc.inTime && e.Outcome.Kind != call.OK || !tc.inTime && (e.Outcome.Kind != call.AttemptTimeout || e.Detail != routes.DetailAdaptive) {
		t.Errorf("in time %v: %v, %s", tc.inTime, e.Outcome.Kind, e.Detail)
	}
}

// never is the path of what is not answered.
const never = "/never"

// waitPath is a path that asks a server to wait before it answers.
func waitPath(d time.Duration) string {
	if d == time.Hour {
		return never
	}
	return fmt.Sprintf("/%d", d.Milliseconds())
}

// waitFor waits as long as a path asks.
func waitFor(path string) {
	ms, _ := strconv.Atoi(strings.TrimPrefix(path, "/"))
	pause := time.NewTimer(time.Duration(ms) * time.Millisecond)
	<-pause.C
}

// echoed reports whether a server has sent back what it was sent.
func (c *client) echoed() bool {
	_, err := io.ReadFull(c.r, make([]byte, len("hello")))
	return err == nil
}

// slowServer answers each request when its path says.
func slowServer(_ int, p *peer) {
	for {
		q, _, ok := p.request()
		if !ok {
			return
		}
		if q.URL.Path == never {
			_, _ = p.r.ReadByte() // until the attempt is given up
			return
		}
		waitFor(q.URL.Path)
		p.ok("")
	}
}

//enforces:http1 timeouts.adaptive.min timeouts.adaptive.max timeouts.adaptive.deviations timeouts.adaptive.window
func TestRule06_AttemptsAreAsLongAsOthersTook(t *testing.T) {
	for name, tc := range adaptiveCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			w := build(t, serve(t, slowServer), tc.to(toAny(nil)))
			for _, group := range tc.before {
				if group[0] == 0 { // one after the other, so that they do not slow each other down
					c := w.dial()
					for range group {
						c.get(waitPath(0))
					}
					continue
				}
				var all []*client
				for _, d := range group {
					c := w.dial()
					c.send("GET " + waitPath(d) + " HTTP/1.1\r\nHost: a\r\n\r\n")
					all = append(all, c)
				}
				for _, c := range all {
					if res, _ := c.response("GET"); res.StatusCode != http.StatusOK {
						t.Fatalf("status %d", res.StatusCode)
					}
				}
			}
			w.seen.await(t, tc.calls())
			w.seen.forget(t)
			w.dial().get(waitPath(tc.last))
			tc.ended(t, w)
		})
	}
}

//enforces:http2 timeouts.adaptive.min timeouts.adaptive.max timeouts.adaptive.deviations timeouts.adaptive.window
func TestRule06_AttemptsAreAsLongAsOthersTookOverHTTP2(t *testing.T) {
	for name, tc := range adaptiveCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			w, _ := scripted(t, tc.to(toAnyH2(nil)), func(_ int, s *http2test.Stream) {
				head, _ := s.Head()
				if head.Get(":path") == never {
					_, _ = s.AwaitReset()
					return
				}
				waitFor(head.Get(":path"))
				_ = s.Respond(200, nil, nil)
			})
			c := w.dialH2(http2test.Options{})
			for _, group := range tc.before {
				if group[0] == 0 {
					for range group {
						getH2(t, c, waitPath(0))
					}
					continue
				}
				var all []*http2test.Stream
				for _, d := range group {
					all = append(all, must(c.Get("a", waitPath(d), nil))(t))
				}
				for _, s := range all {
					if status, _ := statusOf(t, s); status != "200" {
						t.Fatalf("status %s", status)
					}
				}
			}
			w.seen.await(t, tc.calls())
			w.seen.forget(t)
			getH2(t, c, waitPath(tc.last))
			tc.ended(t, w)
		})
	}
}

// Connecting is all that there is to a call that is passed through.
//
//enforces:opaque timeouts.adaptive.min timeouts.adaptive.max timeouts.adaptive.deviations timeouts.adaptive.window
func TestRule06_ConnectingMayTakeAsLongAsItTook(t *testing.T) {
	for name, tc := range adaptiveCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			b := tc.to(declaredTCP(func(s *policy.Settings) { s.Timeouts.Connect = time.Hour }))
			w := build(t, serve(t, copying), b)
			for _, group := range tc.before {
				w.dialer.slow.Store(int64(group[0]))
				var all []*client
				for range group {
					c := w.dial()
					c.send("hello")
					if all = append(all, c); group[0] == 0 && !c.echoed() {
						t.Fatal("a connection was reset")
					}
				}
				if group[0] == 0 {
					continue
				}
				for _, c := range all {
					if !c.echoed() {
						t.Fatal("a connection was reset")
					}
				}
			}
			w.seen.await(t, tc.calls())
			w.seen.forget(t)
			w.dialer.slow.Store(int64(tc.last))
			if reached, _ := w.reaches(); reached != tc.inTime {
				t.Errorf("reached %v", reached)
			}
			tc.ended(t, w)
		})
	}
}
