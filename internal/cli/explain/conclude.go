package explain

import (
	"fmt"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/method"
	"fairlead.dev/fairlead/internal/policy"
)

// conclude says in sentences what the settings mean for the call.
func (e *Explanation) conclude(b *policy.Binding) {
	if e.Connection {
		e.note("%s", e.whyConnection(b))
	}
	s := e.settings
	switch {
	case s.Retry.MaxRetries == 0:
		e.note("It is made once: retry.maxRetries is 0.")
	case e.Connection:
		e.note("Connecting is attempted up to %d times. What happens later is not retried.", s.Retry.MaxRetries+1)
	default:
		e.note("Up to %d attempts are made, the first included, if they fail by: %s.", s.Retry.MaxRetries+1, e.causes())
		e.note("%s", e.repeatable())
	}
	if s.Timeouts.Overall > 0 {
		e.note("It ends after %s at the latest, every attempt and backoff included.", e.field("timeouts.overall"))
	}
	if s.Fallback != nil {
		e.note("A fallback answers when: %s.", e.field("fallback.when"))
	}
	if s.Faults != nil {
		e.note("Faults are injected into %d %% of attempts until %s.", s.Faults.Percent, e.field("faults.until"))
	}
	switch f := b.ForcedBreaker; {
	case !f.Set():
	case f.Open:
		e.note("Its circuit breaker is kept open by annotation until %s: the call is rejected.", f.End().Format(timeForm))
	default:
		e.note("Its circuit breaker is kept closed by annotation until %s.", f.End().Format(timeForm))
	}
	if b.To.Via.Host != "" {
		e.note("It goes through the proxy %s:%d.", b.To.Via.Host, b.To.Via.Port)
	}
}

const timeForm = "2006-01-02T15:04:05Z"

func (e *Explanation) note(format string, args ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
}

func (e *Explanation) whyConnection(b *policy.Binding) string {
	switch {
	case e.Call.Opaque || b.To.Protocol == policy.ProtocolTCP:
		return "It is governed as a connection: there are no requests to see, so rules, status codes and timeouts of attempts have no effect."
	case b.To.TLS.Mode == policy.TLSOriginate:
		return "It is governed as a connection, since the pod itself speaks TLS: with tls.mode Originate the pod is to call http://, and the agent encrypts."
	}
	return "It is governed as a connection, since the pod encrypts it: rules, status codes and timeouts of attempts have no effect unless tls.mode is Originate or Intercept."
}

// causes lists what is retried.
func (e *Explanation) causes() string {
	r := &e.settings.Retry
	causes := r.On.Names()
	for _, f := range []string{"retry.statusCodes", "retry.grpcStatuses", "retry.responseHeaders"} {
		if v := e.field(f); v != "none" && v != "" && (f != "retry.grpcStatuses" || e.Call.GRPC) {
			causes = append(causes, strings.TrimPrefix(f, "retry.")+" "+v)
		}
	}
	for i := range r.Overrides {
		causes = append(causes, r.Overrides[i].On.Names()...)
	}
	slices.Sort(causes)
	if causes = slices.Compact(causes); len(causes) == 0 {
		return "nothing"
	}
	return strings.Join(causes, ", ")
}

// repeatable says whether a request that may have been processed is sent again.
func (e *Explanation) repeatable() string {
	r := &e.settings.Retry
	class := method.ClassOf([]byte(e.Call.Method))
	if e.Call.GRPC {
		class = call.Unsafe
	}
	keyed := slices.ContainsFunc(e.Call.Headers, func(h [2]string) bool { return h[0] == strings.ToLower(r.KeyHeader) && h[1] != "" })
	const again = "What may have been processed is sent again, since "
	switch {
	case r.Idempotency == policy.AnyMethod:
		return again + "retry.idempotency.mode is Any."
	case class == call.Safe:
		return again + e.Call.Method + " is safe."
	case class == call.Idempotent && r.Idempotency != policy.SafeMethods:
		return again + e.Call.Method + " is idempotent."
	case r.Idempotency == policy.IdempotentOrKeyed && keyed:
		return again + "the request has " + r.KeyHeader + "."
	case r.Idempotency == policy.IdempotentOrKeyed && r.GenerateKey:
		return again + "the agent adds " + r.KeyHeader + "."
	case r.Idempotency == policy.IdempotentOrKeyed:
		return "What may have been processed is not sent again, since the request has no " + r.KeyHeader + ": only what was provably never sent is."
	}
	return fmt.Sprintf("What may have been processed is not sent again, since %s is not idempotent (retry.idempotency.mode %s): only what was provably never sent is.",
		e.Call.what(), r.Idempotency)
}

func (c *Call) what() string {
	if c.GRPC {
		return "a gRPC call"
	}
	return c.Method
}
