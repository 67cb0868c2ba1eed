package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestRunsShareTheirConnections makes runs as load does: each of them goes on with the connection of the run before.
func TestRunsShareTheirConnections(t *testing.T) {
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	o := &callOptions{url: srv.URL, method: http.MethodGet, n: 2, concurrency: 1, timeout: 10 * time.Second}
	c := o.client()
	defer c.CloseIdleConnections()
	for range 3 {
		if s := summarise(o.run(t.Context(), c)); s.OK != 2 {
			t.Fatalf("want two calls that succeed, got %+v", s)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("three runs opened %d connections, want 1", n)
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
