package telemetry

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

func TestPages(t *testing.T) {
	broken := errors.New("no configuration yet")
	tests := map[string]struct {
		options HandlerOptions
		path    string
		status  int
		body    string
	}{
		"alive":            {HandlerOptions{}, "/healthz", 200, "ok\n"},
		"not alive":        {HandlerOptions{Live: func() error { return broken }}, "/healthz", 503, "no configuration yet\n"},
		"ready":            {HandlerOptions{Ready: func() error { return nil }}, "/readyz", 200, "ok\n"},
		"not ready":        {HandlerOptions{Ready: func() error { return broken }}, "/readyz", 503, "no configuration yet\n"},
		"no config":        {HandlerOptions{}, "/debug/config", 404, ""},
		"profiling is off": {HandlerOptions{}, "/debug/pprof/cmdline", 404, ""},
		"profiling is on":  {HandlerOptions{Profiling: true}, "/debug/pprof/", 200, "goroutine"},
		"runtime metrics":  {HandlerOptions{}, "/metrics", 200, "go_goroutines"},
		"process metrics":  {HandlerOptions{}, "/metrics", 200, "process_open_fds"},
		"unprintable":      {HandlerOptions{Config: func() any { return func() {} }}, "/debug/config", 500, "json"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.options.Meter = testMeter()
			h, err := Handler(tc.options)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, fromWithin(tc.path))
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.body) {
				t.Errorf("%s: %d %s", tc.path, w.Code, w.Body)
			}
		})
	}
}

// fromWithin is a request as it comes through a port-forward: from the agent's own pod.
func fromWithin(path string) *http.Request {
	r := httptest.NewRequest("GET", path, nil)
	r.RemoteAddr = "127.0.0.1:40000"
	return r
}

// Whoever reaches the port may read metrics. What is in force on the node concerns only those who may enter the agent's pod.
func TestDebugPagesAreForTheAgentsOwnPod(t *testing.T) {
	h, err := Handler(HandlerOptions{Meter: testMeter(), Config: func() any { return "all" }, Profiling: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/debug/config", "/debug/pprof/", "/debug/pprof/cmdline", "/metrics", "/healthz"} {
		for from, allowed := range map[string]bool{
			"127.0.0.1:40000": true, "[::1]:40000": true, "[::ffff:127.0.0.1]:40000": true,
			"10.244.1.7:40000": false, "[fd00::7]:40000": false, "": false,
		} {
			r, w := fromWithin(path), httptest.NewRecorder()
			r.RemoteAddr = from
			h.ServeHTTP(w, r)
			want := 200
			if !allowed && strings.HasPrefix(path, "/debug/") {
				want = 403
			}
			if w.Code != want {
				t.Errorf("%s asked from %q: %d, want %d", path, from, w.Code, want)
			}
		}
	}
}

func TestConfigShowsTheSnapshot(t *testing.T) {
	snapshot := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{"uid": {UID: "uid", Namespace: "shop", Name: "checkout", Profile: "p"}},
		Profiles:  map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{Key: "k", Base: policy.Defaults()}}}},
	}
	h, err := Handler(HandlerOptions{Meter: testMeter(), Config: func() any { return snapshot }})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, fromWithin("/debug/config"))
	var got policy.Snapshot
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if got.Workloads["uid"].Name != "checkout" || got.Profiles["p"].Bindings[0].Base.Retry.MaxRetries != 2 {
		t.Errorf("the page shows %s", w.Body)
	}
}

func TestConfigIsShownToOneReaderAtATime(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	h, err := Handler(HandlerOptions{Meter: testMeter(), Config: func() any { asked <- struct{}{}; <-answer; return "all" }})
	if err != nil {
		t.Fatal(err)
	}
	get := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, fromWithin("/debug/config"))
		return w.Code
	}
	first := make(chan int)
	go func() { first <- get() }()
	<-asked
	if code := get(); code != 503 {
		t.Errorf("a second reader gets %d", code)
	}
	close(answer)
	if code := <-first; code != 200 {
		t.Errorf("the first reader gets %d", code)
	}
	go func() { <-asked }()
	if code := get(); code != 200 {
		t.Errorf("the next reader gets %d", code)
	}
}
