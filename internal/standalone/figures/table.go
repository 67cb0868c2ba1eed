package figures

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// Write writes the totals for people. after is how long the command has run.
func (t *Totals) Write(w io.Writer, after time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "fairlead: %s in %s\n", calls(t.calls()), after.Round(100*time.Millisecond))
	t.writeCalls(&b)
	t.writeDryRuns(&b)
	t.writeConnections(&b)
	if t.Ungoverned > 0 {
		fmt.Fprintf(&b, "  no policy governed %s\n", many(t.Ungoverned, "connection"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Totals) calls() (n uint64) {
	for i := range t.Rows {
		n += t.Rows[i].Requests
	}
	return n
}

// writeCalls writes a line for each destination that was called.
func (t *Totals) writeCalls(b *strings.Builder) {
	if t.calls() == 0 {
		return
	}
	w := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "  POLICY\tDESTINATION\tCALLS\tSUCCESS\tWITHOUT RETRIES\tRETRIES\tP50\tP99\tBREAKER\tREJECTED")
	for i := range t.Rows {
		r := &t.Rows[i]
		if r.Requests == 0 {
			continue
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", r.Policy, r.Target, r.Requests, percent(r.Successes, r.Requests),
			percent(r.Successes-min(r.RetrySuccesses, r.Successes), r.Requests), r.Retries, r.quantile(0.5), r.quantile(0.99), r.breaker(), r.rejected())
	}
	_ = w.Flush()
}

// writeDryRuns says what dry runs would have done.
func (t *Totals) writeDryRuns(b *strings.Builder) {
	for i := range t.Rows {
		d := &t.Rows[i].DryRun
		if d.Calls == 0 {
			continue
		}
		fmt.Fprintf(b, "  %s, a dry run to %s: of %s it would have changed %d%s\n", t.Rows[i].Policy, t.Rows[i].Target, calls(d.Calls), d.Differing(), would(d))
	}
}

// would says what.
func would(d *policy.DryRunCounts) string {
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{
		{d.Retried, "retried"}, {d.Hedged, "hedged"}, {d.TimedOut, "timed out"}, {d.CircuitOpen, "rejected by a circuit breaker"},
		{d.Limited, "rejected by a limit"}, {d.Queued, "made to wait by a limit"}, {d.Fallback, "answered by its fallback"},
		{d.NotRetried, "not retried"}, {d.LetIn, "let in"}, {d.Other, "treated differently"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if d.BreakersOpened > 0 {
		parts = append(parts, many(d.BreakersOpened, "time")+" a circuit breaker opened")
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// writeConnections says what was passed through under a policy.
func (t *Totals) writeConnections(b *strings.Builder) {
	for i := range t.Rows {
		if r := &t.Rows[i]; r.Opaque > 0 {
			fmt.Fprintf(b, "  %s passed %s to %s through (TLS, or not HTTP): %d bytes sent, %d received\n", r.Policy, many(r.Opaque, "connection"), r.Target,
				r.OpaqueSent, r.OpaqueReceived)
		}
	}
}

// quantile is a latency as people read it.
func (r *Row) quantile(q float64) string {
	d, bounded := r.Latency.Quantile(q)
	text := round(d).String()
	switch {
	case d == 0:
		return "-"
	case !bounded:
		return ">" + text
	}
	return text
}

// round keeps two or three digits: buckets are no finer.
func round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= 100*time.Millisecond:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(10 * time.Microsecond)
}

func (r *Row) breaker() string {
	var parts []string
	if r.Open > 0 {
		parts = append(parts, "open")
	}
	if r.Opened > 0 {
		parts = append(parts, fmt.Sprintf("opened %d", r.Opened))
	}
	if r.Ejected > 0 {
		parts = append(parts, fmt.Sprintf("ejected %d", r.Ejected))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// rejected says how many calls did not start, by what kept them.
func (r *Row) rejected() string {
	var parts []string
	for _, p := range []struct {
		n  uint64
		by string
	}{{r.BreakerRejected, "breaker"}, {r.RateLimited, "limit"}, {r.PoolOverflow, "pool"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d by %s", p.n, p.by))
		}
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// percent is rounded down, so that 100% means all.
func percent(part, of uint64) string {
	if of == 0 {
		return "-"
	}
	tenths := 1000 * min(part, of) / of
	if tenths%10 == 0 {
		return fmt.Sprintf("%d%%", tenths/10)
	}
	return fmt.Sprintf("%d.%d%%", tenths/10, tenths%10)
}

func calls(n uint64) string { return many(n, "call") }

func many(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
