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
