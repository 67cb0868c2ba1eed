package taps

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// reader reads a tap over a connection.
type reader struct {
	t    *testing.T
	res  *http.Response
	from *bufio.Reader
}

func tapped(t *testing.T, of *Taps, query string) *reader {
	t.Helper()
	srv := httptest.NewServer(of.Handler("node-1"))
	t.Cleanup(srv.Close)
	client := srv.Client()
	res, err := client.Get(srv.URL + "?" + query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return &reader{t, res, bufio.NewReader(res.Body)}
}

func (r *reader) line() (l liveapi.TapLine) {
	r.t.Helper()
	b, err := r.from.ReadBytes('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(b, &l); err != nil {
		r.t.Fatalf("%s: %v", b, err)
	}
	return l
}

// The first line says that the tap is open; then there is one for each call, and word of those that were dropped.
func TestATapIsAStreamOfLines(t *testing.T) {
	of := New(one)
	r := tapped(t, of, "outcome=retried&rate=1000")
	if l := r.line(); l.Call != nil || l.Node != "node-1" || l.At.IsZero() {
		t.Errorf("the first line is %+v", l)
	}
	of.Call(failedOnce(), payments, "any")
	if l := r.line(); l.Call == nil || l.Call.Pod != "shop/checkout-1" || len(l.Call.Tried) != 2 || l.Dropped != 0 {
		t.Errorf("the line of a call is %+v", l)
	}
	(*of.open.Load())[0].dropped.Add(7)
	of.Call(failedOnce(), payments, "any")
	if l := r.line(); l.Dropped != 7 || l.Call == nil {
		t.Errorf("of calls that were dropped there is %+v", l)
	}
}

func TestATapEndsWhenItsTimeIsOver(t *testing.T) {
	of := New(one)
	r := tapped(t, of, "for=1s")
	if _, err := io.ReadAll(r.from); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	if r.res.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("the stream is %v", r.res.Header)
	}
	// The handler closes its tap after the last line.
	_ = r.res.Body.Close()
	for range MaxTaps {
		open(t, of, Filter{}, 0).Close()
	}
}

// The server bounds how long requests may take to come, which must not end a stream.
func TestATapOutlivesTheTimeThatRequestsHave(t *testing.T) {
	srv := httptest.NewUnstartedServer(New(one).Handler("node-1"))
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 50*time.Millisecond, 60*time.Millisecond
	srv.Start()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "?for=1s")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	all, err := io.ReadAll(res.Body)
	if lines := strings.Count(string(all), "\n"); err != nil || lines != 2 {
		t.Errorf("%d lines and %v; want one at the beginning and one at the end", lines, err)
	}
}

func TestATapEndsWhenItsReaderGoes(t *testing.T) {
	of := New(one)
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		of.Handler("node-1")(w, r)
	}))
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	if !of.Any() {
		t.Error("there is no tap")
	}
	_ = res.Body.Close()
	<-done
	if of.Any() {
		t.Error("the tap is still open")
	}
}

func TestATapThatCannotBeIsRefused(t *testing.T) {
	full := New(one)
	for range MaxTaps {
		open(t, full, Filter{}, 0)
	}
	for name, tc := range map[string]struct {
		of     *Taps
		query  string
		status int
		says   string
	}{
		"an unknown parameter": {New(one), "pods=a", 400, `there is no parameter "pods"; there are: namespace, pod`},
		"a rate":               {New(one), "rate=-1", 400, `rate is "-1"; write a number from 1 to 1000`},
		"a time":               {New(one), "for=2d", 400, `for is "2d"; write a duration from 1s to 1h, such as 1h`},
		"a status":             {New(one), "status=teapot", 400, "write a status, such as 503"},
		"one too many":         {full, "", 503, "end one of them first"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			tc.of.Handler("node-1")(w, httptest.NewRequest(http.MethodGet, "/?"+tc.query, nil))
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}
