package telemetry

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	r.RemoteAddr, r.Host = "127.0.0.1:40000", "localhost:9464"
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

// People read the page: it says what the API says, in its words and units.
func TestConfigIsReadable(t *testing.T) {
	settings := policy.Defaults()
	settings.Timeouts.PerTry = 1500 * time.Millisecond
	settings.Retry.StatusCodes = []policy.StatusRange{{From: 503, To: 503}, {From: 520, To: 599}}
	settings.Retry.GRPCStatuses = []policy.GRPCStatus{14}
	breaker := policy.DefaultBreaker()
	breaker.ConsecutiveFailures = 5
	settings.Breaker = &breaker
	snapshot := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{"uid": {UID: "uid", Namespace: "shop", Name: "checkout", Profile: "p", Owner: policy.Owner{Kind: "Deployment", Name: "checkout"}}},
		Profiles: map[string]*policy.Profile{"p": {Name: "p", Bindings: []policy.Binding{{
			Key: "k", Policy: policy.ID{Namespace: "shop", Name: "inventory"},
			To:   policy.Target{Kind: policy.TargetCIDR, Protocol: policy.ProtocolHTTP, Block: netip.MustParsePrefix("203.0.113.0/24"), Ports: []uint16{80}},
			Base: settings,
		}}}},
	}
	h, err := Handler(HandlerOptions{Meter: testMeter(), Config: func() any {
		return struct {
			Node     string
			At       time.Time
			Snapshot any
		}{"node1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), snapshot}
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, fromWithin("/debug/config"))
	want, err := os.ReadFile("testdata/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), w.Body.String()); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
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

// stalled is a reader that takes nothing until it is let go.
type stalled struct {
	*httptest.ResponseRecorder
	writing chan<- struct{}
	release <-chan struct{}
}

func (s stalled) Write(b []byte) (int, error) {
	s.writing <- struct{}{}
	<-s.release
	return s.ResponseRecorder.Write(b)
}

// Whoever reaches the port can ask for metrics and not read them; Prometheus gets them all the same.
func TestSlowReadersDoNotKeepMetricsFromOthers(t *testing.T) {
	h, err := Handler(HandlerOptions{Meter: testMeter()})
	if err != nil {
		t.Fatal(err)
	}
	get := func(w http.ResponseWriter, from string) {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr = from
		h.ServeHTTP(w, r)
	}
	writing, release := make(chan struct{}), make(chan struct{})
	var readers sync.WaitGroup
	for i := range 20 {
		readers.Go(func() {
			get(stalled{httptest.NewRecorder(), writing, release}, fmt.Sprintf("10.0.0.%d:40000", i/3))
		})
		<-writing
	}
	w := httptest.NewRecorder()
	get(w, "10.9.9.9:40000")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "go_goroutines") {
		t.Errorf("while others read nothing: %d %s", w.Code, w.Body)
	}
	close(release)
	readers.Wait()
}
