package trace

import (
	"context"
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/cli/screen"
	"fairlead.dev/fairlead/internal/liveapi"
)

// live reports whether steps are shown on a terminal, in colour.
func (t *tracer) live() bool { return !t.flags.raw && !t.flags.plain && screen.Live(t.env.Terminal) }

// record runs work, and has what it shows on the terminal if there is one; status says what it waits for once an agent looks.
func (t *tracer) record(ctx context.Context, status string, work func(context.Context) error) error {
	if !t.live() {
		return work(ctx)
	}
	return screen.Record(ctx, t.env.In, t.env.Terminal, func(ctx context.Context, show screen.Show) error {
		t.opened = func() { show(status) }
		t.print = func(l *liveapi.TraceLine) { show("the call goes on, on node "+l.Node, lines(l)...) }
		return work(ctx)
	})
}

// printLines prints a line as it is where there is no terminal.
func (t *tracer) printLines(l *liveapi.TraceLine) {
	if !t.flags.raw {
		fmt.Fprint(t.env.Out, text(l))
		return
	}
	if text, err := output.JSONLine(l); err == nil { // it was read as JSON
		fmt.Fprintln(t.env.Out, text)
	}
}

// lines are those that a terminal shows.
func lines(l *liveapi.TraceLine) (out []screen.Line) {
	if l.Step != nil {
		return []screen.Line{{Lead: lead(l.Step), Text: what(l.Step), Mark: markOf(l.Step)}}
	}
	for part := range strings.Lines(text(l)) {
		out = append(out, screen.Line{Text: strings.TrimSuffix(part, "\n")})
	}
	if l.Begin != nil {
		out[0].Mark = screen.Title
		return out
	}
	for i := range out {
		out[i].Mark = markOfEnd(l.End)
	}
	return out
}

// markOfEnd is the colour of how a call has ended.
func markOfEnd(c *liveapi.Call) screen.Mark {
	switch {
	case c.Kind != "response", c.Status >= 500, c.GRPCStatus != "" && c.GRPCStatus != "OK":
		return screen.Bad
	case c.Decision != "not_needed" && c.Decision != "recovered":
		return screen.Warning
	}
	return screen.Good
}

// markOf is the colour of a step: what has failed or was refused, what makes the call wait, and what has succeeded.
func markOf(s *liveapi.TraceStep) screen.Mark {
	switch s.Step {
	case liveapi.StepAttempt:
		return screen.Title
	case liveapi.StepLimit, liveapi.StepBreaker, liveapi.StepBudget:
		return map[string]screen.Mark{"refused": screen.Bad, "waits": screen.Warning, "probe": screen.Warning}[s.Result]
	case liveapi.StepJudged:
		switch {
		case s.Class == nil:
			return screen.Plain
		case s.Class.Good:
			return screen.Good
		}
		return screen.Bad
	case liveapi.StepDecision:
		if s.Result == "retry" {
			return screen.Warning
		}
		return screen.Bad
	case liveapi.StepFault, liveapi.StepQueue, liveapi.StepHedge, liveapi.StepFallback:
		return screen.Warning
	}
	return screen.Plain
}
