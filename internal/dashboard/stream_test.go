package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

// reader reads server-sent events.
type reader struct {
	t    *testing.T
	from *bufio.Scanner
}

// open serves a source until the test ends, and opens a stream of it.
func open(t *testing.T, f *fakeSource, path string) *reader {
	t.Helper()
	r, _ := serve(t, f)(path)
	return r
}

// serve serves a source until the test ends, and returns what opens streams of it, each with what closes it.
func serve(t *testing.T, f *fakeSource) func(path string) (*reader, func()) {
	t.Helper()
	s, _ := handler(t, f, nil)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	c := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("served: %v", err)
		}
		c.CloseIdleConnections()
	})
	return func(path string) (*reader, func()) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String()+"/"+token+"/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		end := func() { _ = res.Body.Close() }
		t.Cleanup(end)
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%d %v", res.StatusCode, res.Header)
		}
		return &reader{t, bufio.NewScanner(res.Body)}, end
	}
}

// next reads an event into to; it fails if that has another name.
func (r *reader) next(name string, to any) {
	r.t.Helper()
	got := ""
	for r.from.Scan() {
		line := r.from.Text()
		if is, ok := strings.CutPrefix(line, "event: "); ok {
			got = is
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), to); err != nil || got != name {
				r.t.Fatalf("event %q %s, want %q (%v)", got, data, name, err)
			}
			return
		}
	}
	r.t.Fatalf("the stream has ended (%v) before %q", r.from.Err(), name)
}

func TestWhatChangesIsSent(t *testing.T) {
	f := &fakeSource{watched: make(chan func(...model.Topic), 1)}
	r := open(t, f, model.EventsPath)
	var first, then model.Versions
	r.next(model.HelloEvent, &first)
	if len(first) != 5 {
		t.Errorf("topics %v", first)
	}
	changed := <-f.watched
	for range 100 { // which are one event, or a few
		changed(model.TopicPolicies, model.TopicChanges)
	}
	for then[model.TopicPolicies] != first[model.TopicPolicies]+100 {
		r.next(model.ChangedEvent, &then)
	}
	if len(then) != 2 || then[model.TopicChanges] != first[model.TopicChanges]+100 {
		t.Errorf("changed %v after %v", then, first)
	}
}

func TestCallsAreSent(t *testing.T) {
	f := &fakeSource{watched: make(chan func(...model.Topic), 1)}
	f.tapped = func(_ context.Context, q url.Values, each func(*liveapi.TapLine), troubles func([]string)) error {
		each(&liveapi.TapLine{Node: "n1"}) // which only says that the tap goes on
		each(&liveapi.TapLine{Node: "n1", Call: &liveapi.Call{Pod: "shop/a", Path: "/\n\nevent: call\ndata: {}\n</script>"}})
		each(&liveapi.TapLine{Node: "n2", Dropped: 7})
		troubles([]string{"pod x: no"})
		return errors.New("no agent runs: " + q.Get("namespace"))
	}
	r := open(t, f, model.CallsPath+"?namespace=shop")
	var line liveapi.TapLine
	r.next(model.CallEvent, &line)
	if line.Call == nil || line.Call.Pod != "shop/a" || !strings.Contains(line.Call.Path, "</script>") {
		t.Errorf("%+v", line)
	}
	var dropped model.Dropped
	r.next(model.DroppedEvent, &dropped)
	if dropped != (model.Dropped{Node: "n2", Calls: 7}) {
		t.Errorf("%+v", dropped)
	}
	for wrong := ""; wrong != "no agent runs: shop"; { // which takes the place of what was wrong before
		var now model.Troubles
		if r.next(model.TroublesEvent, &now); len(now.Messages) != 1 || now.Messages[0] != "pod x: no" && now.Messages[0] != "no agent runs: shop" {
			t.Fatalf("%+v", now)
		}
		wrong = now.Messages[0]
	}
	if r.from.Scan() && r.from.Text() != "" {
		t.Errorf("goes on with %q", r.from.Text())
	}
}

// A reader that does not keep up loses calls, and is sent how many.
func TestCallsBeyondWhatAReaderTakesAreCounted(t *testing.T) {
	const sent = 5000
	f := &fakeSource{watched: make(chan func(...model.Topic), 1)}
	f.tapped = func(_ context.Context, _ url.Values, each func(*liveapi.TapLine), _ func([]string)) error {
		for range sent {
			each(&liveapi.TapLine{Node: "n1", Call: &liveapi.Call{Pod: "shop/a"}})
		}
		return nil
	}
	r := open(t, f, model.CallsPath)
	calls, dropped := 0, uint64(0)
	for name := ""; r.from.Scan(); {
		line := r.from.Text()
		if is, ok := strings.CutPrefix(line, "event: "); ok {
			name = is
		}
		data, ok := strings.CutPrefix(line, "data: ")
		var d model.Dropped
		switch {
		case ok && name == model.CallEvent:
			calls++
		case ok && name == model.DroppedEvent && json.Unmarshal([]byte(data), &d) == nil:
			dropped += d.Calls
		}
	}
	if calls+int(dropped) != sent || calls == 0 { //nolint:gosec // few
		t.Errorf("%d calls and %d dropped of %d", calls, dropped, sent)
	}
}

// Viewers of the same calls are sent what is read once, and as long as one of them is there.
func TestViewersShareATap(t *testing.T) {
	type tapped struct {
		q       url.Values
		each    func(*liveapi.TapLine)
		trouble func([]string)
	}
	began, ended := make(chan tapped, 8), make(chan string, 8)
	f := &fakeSource{watched: make(chan func(...model.Topic), 1)}
	f.tapped = func(ctx context.Context, q url.Values, each func(*liveapi.TapLine), trouble func([]string)) error {
		began <- tapped{q, each, trouble}
		<-ctx.Done()
		ended <- q.Encode()
		return nil
	}
	view := serve(t, f)
	one, endOne := view(model.CallsPath + "?namespace=shop&status=5xx")
	tap := <-began
	tap.trouble([]string{"pod x: no"})
	two, endTwo := view(model.CallsPath + "?status=5xx&namespace=shop&pod=")
	for i, r := range []*reader{one, two} { // who comes later is sent what cannot be read, too
		var now model.Troubles
		if r.next(model.TroublesEvent, &now); len(now.Messages) != 1 || now.Messages[0] != "pod x: no" {
			t.Errorf("viewer %d: %+v", i, now)
		}
	}
	tap.trouble([]string{})
	for i, r := range []*reader{one, two} { // and that it can be read again
		now := model.Troubles{Messages: []string{"unknown"}}
		if r.next(model.TroublesEvent, &now); len(now.Messages) != 0 {
			t.Errorf("viewer %d: %+v", i, now)
		}
	}
	other, endOther := view(model.CallsPath + "?namespace=shop")
	otherTap := <-began
	if got := tap.q.Encode() + " " + otherTap.q.Encode(); got != "namespace=shop&status=5xx namespace=shop" {
		t.Errorf("read %s", got)
	}
	tap.each(&liveapi.TapLine{Node: "n1", Call: &liveapi.Call{Pod: "shop/a"}})
	otherTap.each(&liveapi.TapLine{Node: "n1", Call: &liveapi.Call{Pod: "shop/b"}})
	for r, want := range map[*reader]string{one: "shop/a", two: "shop/a", other: "shop/b"} {
		var line liveapi.TapLine
		if r.next(model.CallEvent, &line); line.Call == nil || line.Call.Pod != want {
			t.Errorf("%+v, want %s", line, want)
		}
	}
	endOne()
	tap.each(&liveapi.TapLine{Node: "n1", Call: &liveapi.Call{Pod: "shop/c"}})
	var line liveapi.TapLine
	if two.next(model.CallEvent, &line); line.Call.Pod != "shop/c" {
		t.Errorf("%+v after the other viewer has gone", line)
	}
	endTwo()
	if got := <-ended; got != "namespace=shop&status=5xx" {
		t.Errorf("%s has ended", got)
	}
	view(model.CallsPath + "?namespace=shop&status=5xx")
	if again := <-began; again.q.Encode() != "namespace=shop&status=5xx" || len(began) > 0 {
		t.Errorf("read again: %s, and %d more", again.q.Encode(), len(began))
	}
	endOther()
	if got := <-ended; got != "namespace=shop" {
		t.Errorf("%s has ended", got)
	}
}

// A viewer that comes when a tap has ended begins another.
func TestATapThatHasEndedIsReadAgain(t *testing.T) {
	f := &fakeSource{watched: make(chan func(...model.Topic), 1)}
	f.tapped = func(context.Context, url.Values, func(*liveapi.TapLine), func([]string)) error {
		return errors.New("no agent runs")
	}
	view := serve(t, f)
	for range 3 {
		r, _ := view(model.CallsPath)
		var now model.Troubles
		if r.next(model.TroublesEvent, &now); len(now.Messages) != 1 || now.Messages[0] != "no agent runs" {
			t.Errorf("%+v", now)
		}
		if r.from.Scan() && r.from.Text() != "" {
			t.Errorf("goes on with %q", r.from.Text())
		}
	}
}
