package differential

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// observation is everything that was seen in one run: by every actor what happened to it, in order, and how long what took.
type observation struct {
	mu     sync.Mutex
	actors map[string][]string
	spans  map[string]time.Duration
}

func newObservation() *observation {
	return &observation{actors: map[string][]string{}, spans: map[string]time.Duration{}}
}

// note adds what an actor saw.
func (o *observation) note(actor, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.actors[actor] = append(o.actors[actor], fmt.Sprintf(format, args...))
}

func (o *observation) span(name string, took time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spans[name] += took
}

// replace changes every line of an actor whose name begins so: how listed differences say what governed runs show instead.
func (o *observation) replace(actor string, change func(line string) string) {
	for name, lines := range o.actors {
		if strings.HasPrefix(name, actor) {
			for i := range lines {
				lines[i] = change(lines[i])
			}
		}
	}
}

// lines is the observation as text, one line for everything that an actor saw.
func (o *observation) lines() []string {
	var out []string
	for _, actor := range slices.Sorted(maps.Keys(o.actors)) {
		for _, l := range o.actors[actor] {
			out = append(out, actor+": "+l)
		}
	}
	return out
}

// clone copies what was seen.
func (o *observation) clone() *observation {
	c := newObservation()
	for k, v := range o.actors {
		c.actors[k] = slices.Clone(v)
	}
	maps.Copy(c.spans, o.spans)
	return c
}

// sameClass reports whether two durations are of the same class: nobody would notice the difference. Machines are busy, so what
// differs by less than a second is the same, and so is what differs by less than a third.
func sameClass(a, b time.Duration) bool {
	short, long := min(a, b), max(a, b)
	return long-short < time.Second || long*2 < short*3
}

// show makes bytes readable: short ones as they are, long ones by length and hash.
func show(b []byte) string {
	if len(b) <= 400 {
		return fmt.Sprintf("%q", b)
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf("%d bytes %x beginning %q", len(b), sum[:6], b[:32])
}
