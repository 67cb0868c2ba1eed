package suggest

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// suggestion is a policy with its reasons.
type suggestion struct {
	policy *v1alpha1.RetryPolicy
	// rests says what it rests on, reasons why each field is as it is, by its path (spec.timeouts.perTry), and left what is not suggested and why.
	rests, left []string
	reasons     map[string]string
}

// enough says why nothing can be suggested from the evidence; empty: it can.
func (e *evidence) enough() string {
	switch {
	case e.instead != nil:
		return fmt.Sprintf("a policy is for whatever goes to its destination, and calls to %s (%s) are more", output.Text(e.instead.Destination), output.Text(e.instead.Protocol))
	case e.flow.Protocol == "TCP" && destinationOf(e).Host != "":
		return "a connection of raw TCP does not say its host: write a policy for its addresses (cidr)"
	case e.flow.Calls < minCalls:
		return fmt.Sprintf("%d calls were seen, and fewer than %d say too little", e.flow.Calls, minCalls)
	case e.over < minTime:
		return fmt.Sprintf("calls were seen for %s, and less than %s is one situation: wait, or ask for more with --since", e.over.Round(time.Second), minTime)
	case !e.opaque() && e.steps == 0:
		return fmt.Sprintf("calls were too few at a time for a percentile: no minute had %d", minStep)
	}
	return ""
}

// suggest makes a policy of what was observed.
func suggest(e *evidence) *suggestion {
	s := &suggestion{reasons: map[string]string{}, policy: &v1alpha1.RetryPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.RetryPolicyKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: cmp.Or(e.name, nameOf(e))},
		Spec:       v1alpha1.RetryPolicySpec{To: []v1alpha1.Destination{destinationOf(e)}},
	}}
	s.rest(e)
	s.selectPods(e)
	s.timeouts(e)
	s.retries(e)
	s.breaker(e)
	s.pool(e)
	s.leave("rateLimit and concurrency: what %s bears cannot be seen from the calls that it got; ask who runs it", e.flow.Destination)
	s.leave("fallback: what could stand in for an answer is the application's to say")
	if !e.opaque() {
		s.leave("retry.hedging: it adds load to shorten waiting, which nobody has asked for")
	}
	return s
}

func (s *suggestion) because(field, format string, args ...any) {
	s.reasons[field] = fmt.Sprintf(format, args...)
}

func (s *suggestion) leave(format string, args ...any) {
	s.left = append(s.left, fmt.Sprintf(format, args...))
}

// rest says what the suggestion rests on.
func (s *suggestion) rest(e *evidence) {
	f, done := &e.flow, "answered"
	if e.opaque() {
		done = "connected"
	}
	s.rests = append(s.rests, fmt.Sprintf("%d calls of %s/%s to %s (%s) in %s: %.2f%% succeeded, 99%% were %s %s.",
		f.Calls, e.namespace, e.workload, f.Destination, f.Protocol, e.over.Round(time.Second), 100*(1-e.failures()), done, within(f.P99Seconds)))
	if e.sample.calls > 0 {
		s.rests = append(s.rests, output.Count(e.sample.calls, "call was", "calls were")+" looked at while they ended.")
	}
	if len(e.policies) > 0 {
		s.rests = append(s.rests, "Meanwhile they came under "+strings.Join(e.policies, ", ")+": what that does to them is in the figures.")
	}
	s.rests = append(s.rests, "See what it would do before it acts, with mode: DryRun, and what it changes: kubectl fairlead diff -f FILE.")
}

// within says how long most calls take.
func within(seconds float64) string {
	if seconds >= liveapi.LongestSeconds {
		return fmt.Sprintf("within some time that is longer than %ds", liveapi.LongestSeconds)
	}
	return "within " + short(seconds)
}

func (s *suggestion) selectPods(e *evidence) {
	if e.labels == nil {
		s.leave("podSelector: the labels of %s could not be read, so this is for every pod of the namespace", e.workload)
		return
	}
	s.policy.Spec.PodSelector = &metav1.LabelSelector{MatchLabels: e.labels}
	s.because("spec.podSelector", "The pods of %s: the calls of others were not looked at.", e.workload)
}

// timeouts sets limits above what has been usual.
func (s *suggestion) timeouts(e *evidence) {
	t := &v1alpha1.Timeouts{}
	if e.opaque() {
		t.Connect = rounded(max(4*time.Duration(e.flow.P99Seconds*float64(time.Second)), 250*time.Millisecond))
		s.because("spec.timeouts.connect", "4 times the 99th percentile of connecting (%s), 250ms at least: less is one lost packet.", short(e.flow.P99Seconds))
		s.policy.Spec.Timeouts = t
		s.leave("timeouts.perTry and overall: each connection is a call, which is answered when it is made")
		return
	}
	s.leave("timeouts.connect: connecting is not apart in what was observed; the default is %s", policy.Defaults().Timeouts.Connect)
	if e.worstP99.Seconds() >= liveapi.LongestSeconds {
		s.leave("timeouts.perTry and overall: more than one call in 100 took longer than %d s, and how much longer is not measured; ask who calls how long is too long", liveapi.LongestSeconds)
		return
	}
	t.PerTry = rounded(max(2*e.worstP99, 100*time.Millisecond))
	s.because("spec.timeouts.perTry", "Twice the 99th percentile of the worst of %d minutes with %d calls or more (%s), 100ms at least.", e.steps, minStep, e.worstP99.Round(time.Millisecond/10))
	s.policy.Spec.Timeouts = t
}

// mostFailures is the share of failed calls above which they are not tried again: then the destination has another problem, and retries add to it.
const mostFailures = 0.5

// retries has those failures tried again that another attempt may get past.
func (s *suggestion) retries(e *evidence) {
	r := &v1alpha1.Retry{}
	s.policy.Spec.Retry = r
	if e.failures() > mostFailures {
		none := int32(0)
		r.MaxRetries = &none
		s.because("spec.retry.maxRetries", "%.0f%% of the calls have failed: retries would add load to a destination that has another problem. Find that first.", 100*e.failures())
		return
	}
	n := int32(2)
	r.MaxRetries = &n
	r.When = []v1alpha1.RetryCondition{v1alpha1.RetryOnConnectFailure}
	why := "What has provably not been processed can be sent again, whatever the method."
	if !e.opaque() {
		r.When = append(r.When, v1alpha1.RetryOnRefusedStream, v1alpha1.RetryOnResetBeforeRequest)
		why += s.answers(e, r)
	}
	s.because("spec.retry.maxRetries", "%.2f%% of the calls have failed; of independent failures one in %s would be left after two retries.", 100*e.failures(), left(e.failures()))
	s.because("spec.retry.when", "%s", why)
	if !e.opaque() {
		r.Idempotency = &v1alpha1.Idempotency{Mode: v1alpha1.IdempotencyIdempotentMethods}
		s.because("spec.retry.idempotency.mode", "The default, whatever defaults of the cluster say: what may have been processed is repeated only if its method is idempotent. "+
			"Write IdempotentOrKeyed if the server honors Idempotency-Key.")
	}
	s.leave("retry.budget: the default, which bounds retries to a share of the calls, has no figure to improve it by")
	if s.policy.Spec.Timeouts != nil && !e.opaque() {
		s.overall(e, n)
	}
}

// answers adds the answers and failures of servers that were seen to the causes of retries, and says why.
func (s *suggestion) answers(e *evidence, r *v1alpha1.Retry) string {
	p := &e.sample
	if p.calls == 0 {
		s.leave("retry.when GatewayError, ServerError and Reset: no calls were looked at (--sample), so what they failed by is not known")
		return ""
	}
	var why strings.Builder
	for _, c := range []struct {
		when    v1alpha1.RetryCondition
		results []string
	}{
		{v1alpha1.RetryOnReset, []string{"reset", "protocol"}},
		{v1alpha1.RetryOnGatewayError, []string{"502", "503", "504"}},
		{v1alpha1.RetryOnPerTryTimeout, []string{"per_try_timeout"}},
	} {
		if n := p.share(c.results...); n > 0 {
			r.When = append(r.When, c.when)
			fmt.Fprintf(&why, " %d of %d failed attempts that were looked at ended by %s.", n, p.failed, strings.Join(c.results, ", "))
		}
	}
	if n := p.share("500"); n > 0 {
		s.leave("retry.when ServerError: %s answered with 500, which is seldom another the next time; see what the server says", output.Count(n, "attempt was", "attempts were"))
	}
	if n := p.share("429"); n > 0 {
		s.leave("retry.when RateLimited: %s answered with 429; a limit of the callers' own (rateLimit) helps more than retries", output.Count(n, "attempt was", "attempts were"))
	}
	if u := p.unsafe(); u > 0 && !strings.EqualFold(e.flow.Protocol, "gRPC") {
		fmt.Fprintf(&why, " %d of %d calls have a method that is not idempotent: those are repeated only if they have provably not been processed.", u, p.calls)
	}
	if e.flow.Protocol == "gRPC" {
		s.leave("retry.grpcStatuses: calls of gRPC are POSTs, and which of them bear repetition their names do not say; set retry.idempotency.mode: Any in rules for those that do")
	}
	return why.String()
}

// overall bounds the call with all its attempts.
func (s *suggestion) overall(e *evidence, retries int32) {
	perTry, err := s.policy.Spec.Timeouts.PerTry.Parse()
	if err != nil {
		return
	}
	s.policy.Spec.Timeouts.Overall = rounded(time.Duration(retries+1)*perTry + time.Second)
	s.because("spec.timeouts.overall", "%d attempts of perTry, and a second for waiting. Callers that give up sooner end the call then.", retries+1)
}

// breaker sets thresholds that the volume can reach, and what is usual does not.
func (s *suggestion) breaker(e *evidence) {
	if e.failures() > mostFailures {
		s.leave("circuitBreaker: with %.0f%% of the calls failing it would be open from the beginning", 100*e.failures())
		return
	}
	average := float64(e.flow.Calls) / e.over.Seconds()
	if average < 0.2 {
		s.leave("circuitBreaker: at %.2f calls per second a breaker learns of an outage after minutes, and of its end as late", average)
		return
	}
	b := &v1alpha1.CircuitBreaker{}
	s.policy.Spec.CircuitBreaker = b
	per10 := 10 * average / float64(max(e.pods, 1)) // for a pod, since a node may have one
	if per10 < 20 {
		n := int32(5)
		b.ConsecutiveFailures = &n
		s.because("spec.circuitBreaker.consecutiveFailures", "%.1f calls of a pod in 10 s are too few for a rate; 5 failures in a row by chance are one in %s.", per10, inARow(e.failures(), 5))
		return
	}
	percent, least := int32(min(max(50, math.Ceil(100*5*e.failures())), 100)), int32(min(max(20, per10/2), 10_000))
	b.ErrorRate = &v1alpha1.ErrorRateTrigger{Percent: &percent, MinimumRequests: &least, Window: "10s"}
	s.because("spec.circuitBreaker.errorRate.percent", "Half, or 5 times what is usual (%.2f%%) if that is more.", 100*e.failures())
	s.because("spec.circuitBreaker.errorRate.minimumRequests", "Half of the %.0f calls of a pod in 10 s, 20 at least: each node judges by the calls of its own pods.", per10)
}

// pool bounds connections above what was needed.
func (s *suggestion) pool(e *evidence) {
	if e.opaque() {
		s.leave("connectionPool: each connection is a client's, and how long they last is not in what was observed")
		return
	}
	if e.flow.Protocol == "gRPC" {
		s.leave("connectionPool: calls of gRPC share connections, and their number says nothing of the calls under way")
		return
	}
	if e.worstP99.Seconds() >= liveapi.LongestSeconds {
		s.leave("connectionPool: how many calls were under way at once follows from how long they take, which is not measured beyond %d s", liveapi.LongestSeconds)
		return
	}
	n := max(e.perPod(2*e.atOnce), 8)
	s.policy.Spec.ConnectionPool = &v1alpha1.ConnectionPool{MaxConnections: &n}
	pods := "pods whose number is not known, so for one alone"
	if e.pods > 0 {
		pods = fmt.Sprintf("%d pods, of which one may have twice its share", e.pods)
	}
	s.because("spec.connectionPool.maxConnections", "For a pod. At most %.1f calls were under way at once (%.1f a second, each as long as the 99th percentile), twice that, among %s; 8 at least.",
		e.atOnce, e.peak, pods)
}

// left says how rare failures are that two retries do not get past.
func left(failures float64) string { return inARow(failures, 3) }

func inARow(failures float64, n int) string {
	if failures <= 0 {
		return "very many"
	}
	return fmt.Sprintf("%.0f", math.Min(1/math.Pow(failures, float64(n)), 1e9))
}
