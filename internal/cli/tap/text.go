package tap

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// print prints a line of a tap; those that only say that it goes on are for the agent.
func print(env *kube.Env, f *flags, l *liveapi.TapLine) {
	if f.format == string(output.JSON) {
		if l.Call != nil || l.Dropped > 0 {
			if text, err := output.JSONLine(l); err == nil { // it was read as JSON
				fmt.Fprintln(env.Out, text)
			}
		}
		return
	}
	if l.Dropped > 0 {
		fmt.Fprintf(env.ErrOut, "%d more calls of node %s are not shown: ask for fewer, or raise --rate\n", l.Dropped, output.Text(l.Node))
	}
	if l.Call != nil {
		fmt.Fprint(env.Out, text(l))
	}
}

// text is a call for people: one line, and one for each attempt if there is more to say than the first does.
func text(l *liveapi.TapLine) string {
	c := l.Call
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s → %s %s in %s", l.At.Local().Format(clock), output.Text(c.Pod), output.Text(what(c)), output.Text(result(c)), seconds(c.TookSeconds))
	if c.Decision != "not_needed" {
		fmt.Fprintf(&b, ", %s", output.Text(c.Decision))
	}
	if c.Detail != "" {
		fmt.Fprintf(&b, ": %s", output.Text(c.Detail))
	}
	fmt.Fprintf(&b, " (%s)\n", output.Text(strings.Join(nonEmpty(c.Policy, c.Rule, dryRun(c)), ", ")))
	if len(c.Tried) < 2 && c.Decision == "not_needed" {
		return b.String()
	}
	for i, t := range c.Tried {
		fmt.Fprintf(&b, "    %d %s %s %s in %s", number(c, i), output.Text(t.Start), endpoint(&t), output.Text(t.Result), seconds(t.TookSeconds))
		if t.Detail != "" {
			fmt.Fprintf(&b, ": %s", output.Text(t.Detail))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// clock is how times of day are shown.
const clock = "15:04:05.000"

// what says what was called.
func what(c *liveapi.Call) string {
	return strings.TrimSpace(c.Method + " " + cmp.Or(c.Host, c.To.String()) + c.Path)
}

func endpoint(t *liveapi.Attempt) string {
	if t.Endpoint.IsValid() {
		return t.Endpoint.String()
	}
	return "nowhere"
}

func result(c *liveapi.Call) string {
	switch {
	case c.GRPCStatus != "":
		return c.GRPCStatus
	case c.Status > 0 && c.Kind != "response":
		return strconv.Itoa(c.Status) + " " + c.Kind
	case c.Status > 0:
		return strconv.Itoa(c.Status)
	case c.Kind == "response":
		return "connected"
	}
	return c.Kind
}

func dryRun(c *liveapi.Call) string {
	if c.DryRun == nil {
		return ""
	}
	return "dry run of " + c.DryRun.Policy + " would " + c.DryRun.Would
}

func nonEmpty(all ...string) (out []string) {
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Microsecond).String()
}
