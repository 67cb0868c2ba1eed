package importer

import (
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// The annotations by which Linkerd is configured, on Services and on routes of them.
const (
	linkerdRetries  = "retry.linkerd.io/"
	linkerdTimeouts = "timeout.linkerd.io/"
	linkerdBalancer = "balancer.linkerd.io/"
)

var linkerdReasons = map[string]string{
	"timeout.linkerd.io/response": "bounds how long an answer may take in all; timeouts.maxDuration bounds the whole call, its request included",
}

// annotations returns those of Linkerd that an object has.
func (s *source) annotations() (out []tree) {
	for _, a := range s.at("metadata", "annotations").entries() {
		for _, prefix := range []string{linkerdRetries, linkerdTimeouts, linkerdBalancer} {
			if strings.HasPrefix(a.name, prefix) {
				out = append(out, a)
			}
		}
	}
	return out
}

// readService reads a Service with annotations of Linkerd: they hold for all calls to it.
func (i *importer) readService(s *source) {
	if len(s.annotations()) == 0 {
		return
	}
	to := v1alpha1.ServiceDestination{Name: s.u.GetName(), Namespace: s.u.GetNamespace()}
	s.drafts = append(s.drafts, draft{
		from: s.object, name: s.u.GetName(), to: v1alpha1.Destination{Service: &to}, caller: i.callers(s.u.GetNamespace(), s.u.GetNamespace()),
		body: v1alpha1.PolicyBody{CallBlocks: s.linkerdBlocks()},
	})
	s.loseAnnotations()
}

// loseAnnotations lists the annotations that were not read.
func (s *source) loseAnnotations() {
	for _, a := range s.annotations() {
		if s.read[a.path] {
			continue
		}
		reason := linkerdReasons[a.name]
		if reason == "" {
			reason = "has no counterpart in a RetryPolicy"
		}
		s.lose(a, "%s", reason)
	}
}

// over returns blocks with others over them, each as a whole but for timeouts.
func over(base, other v1alpha1.CallBlocks) v1alpha1.CallBlocks {
	merged := mergeBodies(v1alpha1.PolicyBody{CallBlocks: base}, v1alpha1.PolicyBody{CallBlocks: other})
	return merged.CallBlocks
}

func (s *source) linkerdBlocks() (b v1alpha1.CallBlocks) {
	at := func(name string) tree { return s.at("metadata", "annotations").at(name) }
	t := v1alpha1.Timeouts{
		Overall: s.duration(at(linkerdTimeouts + "request")), Idle: s.duration(at(linkerdTimeouts + "idle")), PerTry: s.duration(at(linkerdRetries + "timeout")),
	}
	if t != (v1alpha1.Timeouts{}) {
		b.Timeouts = &t
	}
	http, grpc := at(linkerdRetries+"http"), at(linkerdRetries+"grpc")
	if http.is() || grpc.is() {
		var c causes
		s.retryOn(&c, http)
		s.retryOn(&c, grpc)
		n, ok := at(linkerdRetries + "limit").number()
		if !ok {
			n = 1 // Linkerd's own default
		}
		n = s.atMostRetries(at(linkerdRetries+"limit"), n)
		c.retry.MaxRetries = &n
		if t.PerTry != "" {
			c.when(v1alpha1.RetryOnPerTryTimeout)
		}
		b.Retry = &c.retry
		s.repeats(http.path, b.Retry)
	}
	if accrual := at(linkerdBalancer + "failure-accrual"); accrual.text() == "consecutive" {
		b.CircuitBreaker = s.accrual(at)
	} else if accrual.is() {
		s.lose(accrual, "%q is no failure accrual that is known here", accrual.text())
	}
	return b
}

// accrual reads Linkerd's failure accrual: a circuit breaker of each endpoint, with Linkerd's own defaults.
func (s *source) accrual(at func(string) tree) *v1alpha1.CircuitBreaker {
	const prefix = linkerdBalancer + "failure-accrual-consecutive-"
	n := int32(7)
	if v := s.limit(at(prefix+"max-failures"), 1000); v != nil {
		n = *v
	}
	open := v1alpha1.BreakerOpen{Duration: s.duration(at(prefix + "min-penalty")), MaxDuration: s.duration(at(prefix + "max-penalty"))}
	if open.Duration == "" {
		open.Duration = written(time.Second)
	}
	if open.MaxDuration == "" {
		open.MaxDuration = written(time.Minute)
	}
	jitter := 0.5
	if v, err := strconv.ParseFloat(at(prefix+"jitter-ratio").text(), 64); err == nil && v >= 0 && v <= 1 {
		jitter = v
	}
	percent := int32(100*jitter + 0.5)
	open.JitterPercent = &percent
	return &v1alpha1.CircuitBreaker{ConsecutiveFailures: &n, Open: &open, Scope: v1alpha1.BreakerScopeEndpoint}
}
