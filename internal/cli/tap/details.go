package tap

import (
	"fmt"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

// about is all about a call, for people: a title, and lines.
func about(l *liveapi.TapLine) (title string, lines []string) {
	c := l.Call
	for _, f := range fields(l) {
		if f[1] != "" {
			lines = append(lines, fmt.Sprintf("%-10s %s", f[0]+":", f[1]))
		}
	}
	if len(c.Tried) > 0 {
		lines = append(lines, "", "Attempts:")
	}
	width := 0
	for i := range c.Tried {
		width = max(width, len(endpoint(&c.Tried[i])))
	}
	for i := range c.Tried {
		lines = append(lines, attempt(c, i, width))
	}
	return what(c), lines
}

func fields(l *liveapi.TapLine) [][2]string {
	c := l.Call
	to := c.To.String()
	if !c.To.IsValid() {
		to = ""
	}
	return [][2]string{
		{"At", l.At.Local().Format(time.DateOnly + " " + clock)}, {"Node", l.Node}, {"Pod", c.Pod}, {"Workload", c.Workload}, {"Policy", c.Policy},
		{"Target", c.Target}, {"Rule", c.Rule}, {"Address", to}, {"Result", result(c)}, {"Cause", c.Cause}, {"Retry", c.Decision}, {"Detail", c.Detail},
		{"Fallback", c.Fallback}, {"Broke off", broke(c)}, {"Dry run", dryRun(c)}, {"Head in", head(c)}, {"Took", seconds(c.TookSeconds)},
		{"Trace", c.TraceID},
	}
}

func broke(c *liveapi.Call) string {
	if c.Truncated {
		return "yes"
	}
	return ""
}

func head(c *liveapi.Call) string {
	if c.HeadSeconds == 0 {
		return ""
	}
	return seconds(c.HeadSeconds)
}

// attempt is a line about one attempt: why it was made, where it went, how it ended and how long it took. width
// is that of the longest endpoint.
func attempt(c *liveapi.Call, i, width int) string {
	t := &c.Tried[i]
	text := fmt.Sprintf("  %-3s %-8s  %-*s  %s in %s", strconv.Itoa(number(c, i)), t.Start, width, endpoint(t), t.Result, seconds(t.TookSeconds))
	if t.Reused {
		text += ", on a connection that was kept"
	}
	if t.Detail != "" {
		text += ": " + t.Detail
	}
	return text
}

// number is which of all attempts the one is that is known as Tried[i]: of many, the first ones and the last are.
func number(c *liveapi.Call, i int) int {
	if i == len(c.Tried)-1 {
		return max(c.Attempts, i+1)
	}
	return i + 1
}
