package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
	}, func(err error) { t.Errorf("trouble: %v", err) })
	if err != nil || len(pods) != 3 || pods[2] != "shop/a-3" {
		t.Errorf("%v, %v", pods, err)
	}
}

// What cannot be read is said once, however often it is looked for.
func TestATapSaysOnceWhatCannotBeRead(t *testing.T) {
	c, asked := asktest.New(t), make(chan struct{}, 100)
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
	ended := make(chan error, 1)
	var troubles []string
	go func() {
		ended <- s.Calls(ctx, url.Values{}, func(*liveapi.TapLine) { t.Error("a call is shown") }, func(err error) { troubles = append(troubles, err.Error()) })
	}()
	for range 5 {
		<-asked
	}
	cancel()
	if err := <-ended; err != nil || len(troubles) != 1 {
		t.Errorf("%q, %v", troubles, err)
	}
}
