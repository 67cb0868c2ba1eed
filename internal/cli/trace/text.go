package trace

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
)

// text is a line for people.
func text(l *liveapi.TraceLine) string {
	switch {
	case l.Begin != nil:
		return beginning(l)
	case l.Step != nil:
		return step(l.Step)
	}
	return ending(l)
}

func beginning(l *liveapi.TraceLine) string {
	c := l.Begin
	var b strings.Builder
	what := strings.TrimSpace(c.Method + " " + cmp.Or(c.Host, c.To.String()) + c.Path)
	fmt.Fprintf(&b, "%s (%s) → %s, to %s, on node %s\n", output.Text(c.Pod), output.Text(cmp.Or(c.Workload, "no workload")), output.Text(what), c.To, output.Text(l.Node))
	fmt.Fprintf(&b, "%s, destination %s (%s)\n", c.Protocol, output.Text(c.Destination), output.Text(c.Target))
	fmt.Fprintf(&b, "policy %s", output.Text(c.Policy))
	if c.Rule != "" {
		fmt.Fprintf(&b, ", rule %s", output.Text(c.Rule))
	}
	if c.Mode == "DryRun" {
		b.WriteString(", which is a dry run and changes nothing")
	}
	if len(c.Merged) > 1 {
		fmt.Fprintf(&b, "; merged from %s", output.Text(strings.Join(c.Merged, ", ")))
	}
	b.WriteString("\n\n")
	return b.String()
}

func ending(l *liveapi.TraceLine) string {
	c := l.End
	var b strings.Builder
	if l.LeftOut > 0 {
		fmt.Fprintf(&b, "%s not shown.\n", output.Count(l.LeftOut, "more step is", "more steps are"))
	}
	fmt.Fprintf(&b, "\n%s in %s, %s", output.Text(result(c)), seconds(c.TookSeconds), output.Count(c.Attempts, "attempt", "attempts"))
	if c.Decision != "not_needed" {
		fmt.Fprintf(&b, ", %s", output.Text(c.Decision))
	}
	if c.Fallback != "" {
		fmt.Fprintf(&b, ", fallback: %s", output.Text(c.Fallback))
	}
	if c.Detail != "" {
		fmt.Fprintf(&b, ": %s", output.Text(c.Detail))
	}
	b.WriteString(".\n")
	if d := c.DryRun; d != nil {
		fmt.Fprintf(&b, "The dry run of %s would %s.\n", output.Text(d.Policy), output.Text(strings.ReplaceAll(d.Would, "_", " ")))
	}
	return b.String()
}

func result(c *liveapi.Call) string {
	switch {
	case c.GRPCStatus != "":
		return c.GRPCStatus
	case c.Status > 0 && c.Kind != "response":
		return fmt.Sprintf("%d %s", c.Status, c.Kind)
	case c.Status > 0:
		return fmt.Sprint(c.Status)
	case c.Kind == "response":
		return "connected"
	}
	return c.Kind
}

// step is one step: when it was, and what; those of an attempt are indented.
func step(s *liveapi.TraceStep) string { return lead(s) + what(s) + "\n" }

// lead is when a step was.
func lead(s *liveapi.TraceStep) string { return fmt.Sprintf("%10s  ", "+"+seconds(s.AfterSeconds)) }

// what is a step.
func what(s *liveapi.TraceStep) string {
	indent := ""
	if s.Attempt > 0 && s.Step != liveapi.StepAttempt {
		indent = "  "
	}
	return indent + output.Text(sentence(s))
}

// sentence says what a step is. A step that is not known is shown by its name: it is of a later version's.
func sentence(s *liveapi.TraceStep) string {
	switch s.Step {
	case liveapi.StepBegins:
		return begins(s)
	case liveapi.StepLimit:
		return limited(s)
	case liveapi.StepBreaker:
		return "circuit breaker: " + map[string]string{"passes": "closed, passes", "probe": "half-open, passes as a probe", "refused": "open, refuses"}[s.Result]
	case liveapi.StepBudget:
		return "retry budget: used up meanwhile, no retry"
	case liveapi.StepAttempt:
		return fmt.Sprintf("attempt %d (%s)", s.Attempt, s.Result)
	case liveapi.StepDecision:
		return decided(s)
	case liveapi.StepHedge:
		return hedged(s)
	case liveapi.StepFallback:
		return "falls back on another destination"
	case liveapi.StepAnswer:
		return answered(s)
	case liveapi.StepFinished:
		return "the response has been forwarded"
	}
	return ofAttempt(s)
}

// ofAttempt says what a step of an attempt is.
func ofAttempt(s *liveapi.TraceStep) string {
	switch s.Step {
	case liveapi.StepFault:
		return "a fault of the policy's meets it" + within(", held up for ", s.Seconds)
	case liveapi.StepLookup:
		return "waits for the addresses of the name"
	case liveapi.StepQueue:
		return "no place in the connection pool: waits for one"
	case liveapi.StepPlaced:
		return "endpoint " + endpoint(s) + deadline(s)
	case liveapi.StepChosen:
		return chosen(s)
	case liveapi.StepConnected:
		return connected(s)
	case liveapi.StepSent:
		return "request sent"
	case liveapi.StepInterim:
		return "a response of 1xx went to the client: nothing is retried after it"
	case liveapi.StepHeld:
		return "response held back until its gRPC status or a message comes"
	case liveapi.StepEnded:
		return ended(s)
	case liveapi.StepJudged:
		return judged(s)
	case liveapi.StepDismissed:
		return "given up: the call is decided"
	}
	return strings.TrimSpace(s.Step + " " + s.Result + " " + s.Detail)
}

func begins(s *liveapi.TraceStep) string {
	text := "the call begins: its method is " + s.Methods
	if s.Keyed {
		text += ", it has an idempotency key"
	}
	if s.Body {
		text += ", it has a body"
	}
	if s.Retried {
		text += ", it has arrived as a retry"
	}
	return text + deadline(s)
}

// limited says what a limit does.
func limited(s *liveapi.TraceStep) string {
	text := cmp.Or(s.Limit, "limit") + ": "
	switch s.Result {
	case "passes":
		return text + "passes"
	case "waits":
		return text + "waits" + within(" for ", s.Seconds)
	}
	return text + "refuses" + within("; passes again in ", s.Seconds)
}

// reasons are why there is no retry, in sentences. The table is never written to.
var reasons = map[string]string{
	"method":          "its method is not to be repeated (retry.idempotency), and a server may have processed it",
	"not_retryable":   "that is not among what the policy retries, or the server forbids it, or a part of a response has gone to the client",
	"already_retried": "the call has arrived as a retry (retry.alreadyRetried)",
	"budget":          "the retry budget is used up",
	"deadline":        "the wait does not fit the deadline, or the server asks for a longer one than the policy allows",
	"body":            "a part of the request's body was sent and not kept",
	"exhausted":       "all retries were used",
}

// decided says whether another attempt follows.
func decided(s *liveapi.TraceStep) string {
	if s.Result != "retry" {
		return fmt.Sprintf("no retry: %s (%d of %d used)", cmp.Or(reasons[s.Result], s.Result), s.Retries, s.MaxRetries)
	}
	text := fmt.Sprintf("retry %d of %d in %s: backoff %s", s.Retries+1, s.MaxRetries, seconds(s.Seconds), seconds(s.BackoffSeconds))
	if s.WishSeconds > 0 {
		text += ", the server asks for " + seconds(s.WishSeconds)
	}
	return text
}

func hedged(s *liveapi.TraceStep) string {
	switch s.Result {
	case "due":
		return "not answered for so long that another attempt is due beside it"
	case "unplaced":
		return "no place for a hedge: it is given up"
	}
	return "no hedge: the policy, the budget or the circuit breaker does not allow it"
}

func answered(s *liveapi.TraceStep) string {
	if s.Decision == "not_needed" || s.Decision == "recovered" {
		return "answer: " + s.Result
	}
	return "answer: " + s.Result + " (" + s.Decision + ")"
}

// chosen says why it is that endpoint.
func chosen(s *liveapi.TraceStep) string {
	text := "connection: " + s.Result
	c := s.Choice
	if c == nil {
		return text
	}
	switch c.By {
	case "original":
		return text + "; the endpoint is the address that the client called"
	case "name":
		return text + "; the endpoint is one of the name's addresses"
	}
	text += fmt.Sprintf("; chosen by %s of %s, %s under way there", c.By, output.Count(c.Endpoints, "endpoint", "endpoints"), output.Count(c.Outstanding, "call", "calls"))
	for _, left := range []struct {
		n   int
		why string
	}{{c.Ejected, "ejected"}, {c.Unreachable, "unreachable"}, {c.Used, "used before by the call"}} {
		if left.n > 0 {
			text += fmt.Sprintf(", %d %s", left.n, left.why)
		}
	}
	if c.Full {
		text += ", the pool is full"
	}
	return text
}

func connected(s *liveapi.TraceStep) string {
	text := "connected to " + endpoint(s) + " in " + seconds(s.Seconds)
	if s.TLSSeconds > 0 {
		text += ", of which TLS " + seconds(s.TLSSeconds)
	}
	if s.Detail != "" {
		text += ", " + s.Detail
	}
	return text
}

func ended(s *liveapi.TraceStep) string {
	text := s.Result + " after " + seconds(s.Seconds)
	if s.Detail != "" {
		text += ": " + s.Detail
	}
	return text
}

// judged says what the policy thinks of how an attempt has ended.
func judged(s *liveapi.TraceStep) string {
	c := s.Class
	if c == nil {
		return s.Result
	}
	text := s.Result + " is "
	switch {
	case c.Good:
		text += "good enough"
	case c.Retryable:
		text += "among what the policy retries"
	default:
		text += "not among what the policy retries"
	}
	if c.BreakerFails {
		text += ", a failure for the circuit breaker"
	}
	if c.Unsent {
		text += ", and no server has processed the request"
	}
	return text
}

func endpoint(s *liveapi.TraceStep) string {
	if !s.Endpoint.IsValid() {
		return "nowhere"
	}
	return s.Endpoint.String()
}

func deadline(s *liveapi.TraceStep) string {
	if s.Limit == "" {
		return ""
	}
	return fmt.Sprintf("; %s in %s", s.Limit, seconds(s.Seconds))
}

func within(text string, s float64) string {
	if s <= 0 {
		return ""
	}
	return text + seconds(s)
}

// seconds is a time for people: to three digits or so.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
