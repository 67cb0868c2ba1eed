package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestRunsLeaveNoConnections makes runs as load does, whose idle connections would add up over hours.
func TestRunsLeaveNoConnections(t *testing.T) {
	const runs = 3
	closed := make(chan struct{}, runs)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	srv.Start()
	defer srv.Close()
	o := &callOptions{url: srv.URL, method: http.MethodGet, n: 2, concurrency: 1, timeout: 10 * time.Second}
	for i := range runs {
		if s := summarise(o.run(t.Context())); s.OK != 2 {
			t.Fatalf("want two calls that succeed, got %+v", s)
		}
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Fatalf("run %d left its connection open", i+1)
		}
	}
}

// TestRunsEndWhenCallsAreWellAgain: a server that fails at first, and a run that would last for an hour.
func TestRunsEndWhenCallsAreWellAgain(t *testing.T) {
	srv := httptest.NewServer(newUpstream())
	defer srv.Close()
	o := &callOptions{url: srv.URL + "/?failFirst=2", method: http.MethodGet, duration: time.Hour, healed: 3, concurrency: 1, timeout: 10 * time.Second}
	// One more may be under way when it ends.
	if s := summarise(o.run(t.Context())); s.Statuses[503] != 2 || s.OK < 3 || s.OK > 4 {
		t.Errorf("want two calls that fail and three that are well, got %+v", s)
	}
	var h healing
	for range 3 {
		h.add(result{Status: 200})
	}
	if h.over(2) {
		t.Error("nothing was ever wrong")
	}
}

func TestAnswers(t *testing.T) {
	all := []result{
		{Status: 503, Reason: "circuit_open"}, {Status: 200}, {Status: 503}, {Status: 200}, {Status: 503, Reason: "circuit_open"},
		{Error: "connection refused"},
	}
	const want = "200x2 503x1, answered by fairlead: circuit_open x2, errors x1"
	if got := answers(all); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := answers(all[1:2]); got != "200x1" {
		t.Errorf("got %q, want 200x1", got)
	}
}
