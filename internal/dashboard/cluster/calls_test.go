package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/liveapi"
)

// A tap that an agent has ended is opened again, as that of the agent that takes its place is, and no agent is read from twice at a time.
func TestATapGoesOnWhenAgentsEnd(t *testing.T) {
	c, asked, reading := asktest.New(t), atomic.Int64{}, atomic.Int64{}
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if reading.Add(1) > 1 {
			t.Error("the agent is read from twice at a time")
		}
		defer reading.Add(-1)
		_ = json.NewEncoder(w).Encode(liveapi.TapLine{Node: "node-1", Call: &liveapi.Call{Pod: fmt.Sprintf("shop/a-%d", n)}})
		_ = http.NewResponseController(w).Flush()
		if n == 3 {
			<-r.Context().Done()
		}
	}))
	live, err := c.Env.Client()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Env: c.Env, Client: live, Reach: c.Reach})
	s.lookAgain = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pods []string
	err = s.Calls(ctx, url.Values{}, func(l *liveapi.TapLine) {
		if pods = append(pods, l.Call.Pod); len(pods) == 3 {
			cancel()
		}
	}, func(wrong []string) {
		if len(wrong) > 0 {
			t.Errorf("trouble: %q", wrong)
		}
	})
	if err != nil || len(pods) != 3 || pods[2] != "shop/a-3" {
		t.Errorf("%v, %v", pods, err)
	}
}

// What cannot be read is said once, however often it is looked for, and that it can be read again once it can.
func TestATapSaysWhatCannotBeRead(t *testing.T) {
	c, asked, well := asktest.New(t), make(chan struct{}, 100), atomic.Bool{}
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if well.Load() {
			_ = json.NewEncoder(w).Encode(liveapi.TapLine{Node: "node-1"})
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		http.Error(w, "8 taps are open already", http.StatusServiceUnavailable)
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	live, err := c.Env.Client()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Env: c.Env, Client: live, Reach: c.Reach})
	s.lookAgain = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended, troubles := make(chan error, 1), make(chan []string, 100)
	go func() {
		ended <- s.Calls(ctx, url.Values{}, func(l *liveapi.TapLine) {
			if l.Call != nil {
				t.Error("a call is shown")
			}
		}, func(all []string) { troubles <- all })
	}()
	for range 5 {
		<-asked
	}
	well.Store(true)
	for i, want := range []string{"pod agent-1: 8 taps are open already", ""} {
		if got := strings.Join(<-troubles, "; "); got != want {
			t.Errorf("%d: %q, want %q", i, got, want)
		}
	}
	cancel()
	if err := <-ended; err != nil || len(troubles) != 0 {
		t.Errorf("%v, and %q", err, <-troubles)
	}
}

// Of much that cannot be read some is said and the rest counted, and what is as it was is not said again.
func TestWhatCannotBeReadIsBounded(t *testing.T) {
	var got []string
	say := changing(func(all []string) { got = append(got, strings.Join(all, ";")) })
	no := func(n int) (all []error) {
		for i := range n {
			all = append(all, fmt.Errorf("%d", i))
		}
		return all
	}
	for _, n := range []int{0, 0, 2, 2, maxSaid, maxSaid + 2, maxSaid + 2, 0} {
		say(7, no(n))
	}
	if want := []string{"", "0;1", "0;1;2;3;4", "0;1;2;3;4;and 2 more that cannot be read", ""}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
