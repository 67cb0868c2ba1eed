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
	// reported is what the agent says of calls that did not go well. It is shown beside differences and never compared.
	reported []string
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
// differs by less than the slack is the same, and so is what differs by less than a third.
func sameClass(a, b, slack time.Duration) bool {
	short, long := min(a, b), max(a, b)
	return long-short < slack || long*2 < short*3
}

// show makes bytes readable: short ones as they are, long ones by length and hash.
func show(b []byte) string {
	if len(b) <= 400 {
		return fmt.Sprintf("%q", b)
	}
	sum := sha256.Sum256(b)
	return fmt.Sprintf("%d bytes %x beginning %q", len(b), sum[:6], b[:32])
}

// writeDiff writes how the lines differ, if they do: all of them, marked.
func writeDiff(out *strings.Builder, direct, governed []string) {
	if slices.Equal(direct, governed) {
		return
	}
	common := longestCommon(direct, governed)
	i, k := 0, 0
	for _, line := range append(common, "") {
		for ; i < len(direct) && (direct[i] != line || line == ""); i++ {
			fmt.Fprintf(out, "- %s\n", direct[i])
		}
		for ; k < len(governed) && (governed[k] != line || line == ""); k++ {
			fmt.Fprintf(out, "+ %s\n", governed[k])
		}
		if line != "" {
			fmt.Fprintf(out, "  %s\n", line)
			i, k = i+1, k+1
		}
	}
}

// longestCommon is the longest sequence of lines that both have.
func longestCommon(a, b []string) []string {
	best := make([][]int, len(a)+1)
	for i := range best {
		best[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if a[i] == b[k] {
				best[i][k] = best[i+1][k+1] + 1
			} else {
				best[i][k] = max(best[i+1][k], best[i][k+1])
			}
		}
	}
	var out []string
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i] == b[k]:
			out = append(out, a[i])
			i, k = i+1, k+1
		case best[i+1][k] >= best[i][k+1]:
			i++
		default:
			k++
		}
	}
	return out
}
