package importer

import (
	"regexp"
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// causes collects what is to be retried.
type causes struct{ retry v1alpha1.Retry }

func (c *causes) when(list ...v1alpha1.RetryCondition) {
	for _, w := range list {
		if !slices.Contains(c.retry.When, w) {
			c.retry.When = append(c.retry.When, w)
		}
	}
}

func (c *causes) grpc(s v1alpha1.GRPCStatus) {
	if !slices.Contains(c.retry.GRPCStatuses, s) {
		c.retry.GRPCStatuses = append(c.retry.GRPCStatuses, s)
	}
}

func (c *causes) status(s v1alpha1.StatusCode) {
	if !slices.Contains(c.retry.StatusCodes, s) {
		c.retry.StatusCodes = append(c.retry.StatusCodes, s)
	}
}

var statusCode = regexp.MustCompile(`^[45]([0-9]{2}|xx)(-[45][0-9]{2})?$`)

// never are the failures in which nothing was processed, which any proxy retries.
var never = []v1alpha1.RetryCondition{v1alpha1.RetryOnConnectFailure, v1alpha1.RetryOnRefusedStream, v1alpha1.RetryOnResetBeforeRequest}

// envoy are the conditions of Envoy's retry policies, by which Istio and Linkerd name theirs.
var envoy = map[string]func(*causes){
	"5xx": func(c *causes) {
		c.when(append([]v1alpha1.RetryCondition{v1alpha1.RetryOnServerError, v1alpha1.RetryOnReset, v1alpha1.RetryOnPerTryTimeout}, never...)...)
	},
	"gateway-error": func(c *causes) { c.when(v1alpha1.RetryOnGatewayError) },
	"reset": func(c *causes) {
		c.when(v1alpha1.RetryOnReset, v1alpha1.RetryOnResetBeforeRequest, v1alpha1.RetryOnPerTryTimeout)
	},
	"reset-before-request": func(c *causes) { c.when(v1alpha1.RetryOnResetBeforeRequest) },
	"connect-failure":      func(c *causes) { c.when(v1alpha1.RetryOnConnectFailure) },
	"refused-stream":       func(c *causes) { c.when(v1alpha1.RetryOnRefusedStream) },
	"retriable-4xx":        func(c *causes) { c.when(v1alpha1.RetryOnConflict) },
	"cancelled":            func(c *causes) { c.grpc("CANCELLED") },
	"deadline-exceeded":    func(c *causes) { c.grpc("DEADLINE_EXCEEDED") },
	"internal":             func(c *causes) { c.grpc("INTERNAL") },
	"resource-exhausted":   func(c *causes) { c.grpc("RESOURCE_EXHAUSTED") },
	"unavailable":          func(c *causes) { c.grpc("UNAVAILABLE") },
}

// retryOn reads a list of conditions: "5xx,reset,503".
func (s *source) retryOn(c *causes, t tree) {
	for _, word := range strings.Split(t.text(), ",") {
		word = strings.TrimSpace(word)
		known := envoy[word]
		switch {
		case word == "", word == "retriable-status-codes": // the codes stand beside it
		case known != nil:
			known(c)
		case statusCode.MatchString(word):
			c.status(v1alpha1.StatusCode(word))
		default:
			s.differ(t.path, "%q is no cause of retries that fairlead knows", word)
		}
	}
}

// repeats says what changes for requests that are not idempotent, unless nothing but what was never processed is retried.
func (s *source) repeats(field string, r *v1alpha1.Retry) {
	only := !slices.ContainsFunc(r.When, func(w v1alpha1.RetryCondition) bool { return !slices.Contains(never, w) })
	if only && len(r.StatusCodes)+len(r.GRPCStatuses) == 0 || r.MaxRetries != nil && *r.MaxRetries == 0 {
		return
	}
	s.differ(field, "was for every method; fairlead repeats a request that may have been processed only if it is idempotent. "+
		"Set retry.idempotency.mode (IdempotentOrKeyed, or Any) where your servers bear repetition, as calls of gRPC need it")
}
