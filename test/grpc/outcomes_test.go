package grpc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// outcomes say how each case of a suite has ended, by its name.
type outcomes map[string]string

// differences says which cases of another run ended otherwise than those of a direct one, are missing, or did not run directly.
func (o outcomes) differences(other outcomes) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		switch got, ok := other[name]; {
		case !ok:
			out = append(out, fmt.Sprintf("%s did not run; directly it has %s", name, o[name]))
		case got != o[name]:
			out = append(out, fmt.Sprintf("%s has %s; directly it has %s", name, got, o[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(other)) {
		if _, ok := o[name]; !ok {
			out = append(out, fmt.Sprintf("%s has %s; directly it did not run", name, other[name]))
		}
	}
	return out
}

// needs fails the test if there are no cases whose names contain one of these.
func (o outcomes) needs(t *testing.T, kinds []string) {
	t.Helper()
	for _, kind := range kinds {
		n := 0
		for name := range o {
			if strings.Contains(name, kind) {
				n++
			}
		}
		if n == 0 {
			t.Errorf("there are no cases of %s", kind)
		}
	}
}

// perWay holds the outcomes of a suite for each way.
type perWay struct {
	mu  sync.Mutex
	all map[string]outcomes
}

func (p *perWay) put(w way, o outcomes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]outcomes{}
	}
	p.all[w.name] = o
}

// compare fails the test with the name of each case that ended otherwise than directly.
func (p *perWay) compare(t *testing.T, ways []way) {
	t.Helper()
	for _, w := range ways {
		if len(p.all[w.name]) == 0 {
			t.Errorf("%s: there are no cases", w.name)
		}
		if w.like == "" {
			continue
		}
		t.Logf("%s: %d cases", w.name, len(p.all[w.name]))
		for _, d := range p.all[w.like].differences(p.all[w.name]) {
			t.Errorf("%s: %s", w.name, d)
		}
	}
}

func TestDifferencesNameTheCases(t *testing.T) {
	o := outcomes{"same": "passed", "lost": "passed", "broken": "passed", "mended": "failed"}
	got := o.differences(outcomes{"same": "passed", "broken": "failed", "mended": "passed", "new": "failed"})
	want := []string{
		"broken has failed; directly it has passed", "lost did not run; directly it has passed", "mended has passed; directly it has failed",
		"new has failed; directly it did not run",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := o.differences(o); len(got) > 0 {
		t.Errorf("of itself: %q", got)
	}
}
