package soak

import (
	"net/http"
	"slices"
	"sort"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// check compares the accounts with the rules.
func (r *round) check() {
	for _, a := range r.accounts {
		sort.SliceStable(a.receipts, func(i, j int) bool { return a.receipts[i].at.Before(a.receipts[j].at) })
		r.checkBytes(a)
		if a.sends != 1 { // what the client's library has repeated is not the agent's doing
			continue
		}
		may := r.possible(a)
		r.checkAttempts(a, may)
		r.checkAnswer(a, may)
		r.checkBackup(a, may)
		r.checkBudget(a, may)
		r.checkDeadline(a, may)
		r.checkEarly(a, may)
		r.checkAttemptTime(a, may)
		r.checkCalm(a)
	}
	r.checkRate()
	r.checkConcurrency()
	r.checkRefusals()
	r.checkBreaker()
	r.checkEjection()
	r.checkOutage()
	r.checkCluster()
	r.checkPassed()
	r.checkExact()
	r.checkDials()
}

// possible are the policies that may have governed a call, with the settings for such calls.
func (r *round) possible(a *account) (may []*version) {
	for _, v := range r.versions {
		if v.from.Before(a.ended) && (v.until.IsZero() || v.drains || v.until.After(a.begun)) {
			if a.ruled {
				v = &version{settings: v.ruled, forced: v.forced, from: v.from, until: v.until}
			}
			may = append(may, v)
		}
	}
	return may
}

// checkBytes: every byte is right, on both sides, and a body that has ended has all of them.
func (r *round) checkBytes(a *account) {
	if a.wrong != "" {
		r.blame(a, "%s", a.wrong)
	}
	for _, p := range a.receipts {
		if p.wrong != "" {
			r.blame(a, "attempt %d: %s", p.attempt, p.wrong)
		}
	}
	if a.backup && len(a.backups) > 0 {
		r.checkResponse(a, &a.backups[0].step)
	}
	if a.answer < 0 {
		return
	}
	i := slices.IndexFunc(a.receipts, func(p *receipt) bool { return p.attempt == a.answer })
	if i < 0 {
		r.blame(a, "it was answered with the response of attempt %d, which no server has seen", a.answer)
		return
	}
	r.checkResponse(a, &a.receipts[i].step)
}

// checkResponse: what the client got is what a server has answered.
func (r *round) checkResponse(a *account, s *step) {
	r.covers("a response was compared")
	if a.rpc {
		r.checkRPC(a, s)
		return
	}
	if a.status != s.status {
		r.blame(a, "its client got the status %d, and attempt %d was answered %d", a.status, a.answer, s.status)
	}
	size := s.size
	if a.method == "HEAD" {
		size = 0
	}
	if a.whole && a.got != size {
		r.blame(a, "its client got %d bytes and the end, of %d bytes", a.got, size)
	}
}

// attemptsAllowed is how many attempts of the call a policy lets servers see.
func attemptsAllowed(s *policy.Settings, a *account) int {
	if !mayRepeat(s, a) {
		return 1
	}
	const repair = 1 // rule 8
	if a.marked && s.Retry.SkipRetried {
		return 1 + repair
	}
	return 1 + mostRetries(&s.Retry) + repair
}

// mayRepeat is the idempotency gate.
func mayRepeat(s *policy.Settings, a *account) bool {
	switch s.Retry.Idempotency {
	case policy.AnyMethod:
		return true
	case policy.SafeMethods:
		return a.method == "GET" || a.method == "HEAD"
	case policy.IdempotentOrKeyed:
		return a.method != "POST" || a.key != "" || s.Retry.GenerateKey
	case policy.IdempotentMethods:
		return a.method != "POST"
	}
	return false
}

// checkAttempts: no server sees a call more often than a policy allows, nor after an answer that is none to repeat.
func (r *round) checkAttempts(a *account, may []*version) {
	most, hedged := 0, false
	for _, v := range may {
		most = max(most, attemptsAllowed(&v.settings, a))
		hedged = hedged || v.settings.Retry.Hedging.Max > 0
	}
	if n := len(a.receipts); n > most {
		r.blame(a, "servers saw it %d times, allowed are %d", n, most)
	}
	for i, p := range a.receipts[:max(0, len(a.receipts)-1)] {
		if p.key != a.receipts[i+1].key {
			r.blame(a, "attempts with the keys %q and %q", p.key, a.receipts[i+1].key)
		}
		r.covers("an attempt had to have failed")
		good := p.clean() && (p.step.status == 200 || p.step.status == 404) && p.step.wish == "" && p.step.wait == 0 && !overrides(may, p.step.status)
		if a.rpc { // rule 11
			good = p.clean() && p.step.message()
		}
		if good && r.inTime(p, may) && !hedged {
			r.blameUnless(slices.ContainsFunc(may, limitsAttempts), a, "servers saw another attempt after attempt %d was answered %d", p.attempt, p.step.status)
		}
	}
}

// checkBudget: under a budget of zero an attempt follows another only if that has met a dead connection (rule 8), once.
func (r *round) checkBudget(a *account, may []*version) {
	allows := func(v *version) bool {
		return v.settings.Retry.Budget.Percent > 0 || v.settings.Retry.Budget.MinPerSecond > 0
	}
	if slices.ContainsFunc(may, allows) {
		return
	}
	r.covers("a call had a budget of zero")
	if n := len(a.receipts); n > 2 {
		r.blame(a, "servers saw it %d times under a budget of zero", n)
	}
	for _, p := range a.receipts[:max(0, len(a.receipts)-1)] {
		if p.step.fault == noFault && p.conn.brokenAt().IsZero() {
			r.blame(a, "servers saw another attempt after attempt %d, whose connection was sound, under a budget of zero", p.attempt)
		}
	}
}

// inTime reports whether an attempt was answered long before any timeout of attempts. A server may have seen it late, when the machine was.
func (r *round) inTime(p *receipt, may []*version) bool {
	long := func(limit time.Duration) bool {
		return limit > 0 && p.answered.Sub(p.at)+r.lag.during(p.at.Add(-2*limit), p.answered) > limit/2
	}
	return !slices.ContainsFunc(may, func(v *version) bool {
		return long(v.settings.Timeouts.PerTry) || long(v.settings.Timeouts.Adaptive.Min) || long(v.settings.Timeouts.ResponseHeader)
	})
}

// checkAnswer: an answer of the agent's has the status of its reason, and a reason there is cause for.
func (r *round) checkAnswer(a *account, may []*version) {
	if a.reason == "" {
		if a.err != nil && a.ended.Sub(a.begun) >= patience {
			r.doubt(a, "no end after %v", patience)
		}
		return
	}
	want, known := map[string]int{
		"circuit_open": 503, "pool_overflow": 503, "rate_limited": 429, "deadline": 504, "per_try_timeout": 504,
		"connect_failure": 502, "reset": 502, "protocol": 502, "upstream_failure": 0, "fault_injected": 0,
	}[a.reason]
	codes := rpcReasons[a.reason]
	if a.stoodIn {
		want, codes = standIn.Status, []int{int(standIn.GRPCStatus())}
	}
	if a.rpc {
		want = http.StatusOK
	}
	r.checkStandIn(a, may)
	if a.reason == "fault_injected" {
		want, codes = a.status, []int{a.code} // see checkFaults
	}
	if !known || want != a.status || a.rpc && !slices.Contains(codes, a.code) {
		r.blame(a, "the agent answered %d, %d for %q", a.status, a.code, a.reason)
	}
	cause := func(v *version) bool { return causeFor(a.reason, v, r.calm) }
	if !slices.ContainsFunc(may, cause) {
		r.blame(a, "the agent answered %q, which no policy in force gives cause for", a.reason)
	}
	for _, p := range a.receipts { // rule 10
		if a.stoodIn {
			break
		}
		if p.clean() && p.step.size == 0 && len(a.receipts) > 1 && a.reason == "reset" && r.inTime(p, may) {
			r.blameUnless(slices.ContainsFunc(may, limitsAttempts), a, "the agent answered %q, though attempt %d was answered %d", a.reason, p.attempt, p.step.status)
		}
	}
}

func causeFor(reason string, v *version, calm bool) bool {
	s := &v.settings
	switch reason {
	case "circuit_open":
		return mayOpen(v)
	case "pool_overflow":
		return s.Pool.MaxConnections > 0
	case "rate_limited":
		return s.RateLimit != nil || s.Concurrency != nil
	case "deadline":
		return s.Timeouts.Overall > 0 || s.Timeouts.MaxDuration > 0
	case "fault_injected":
		return s.Faults != nil
	case "per_try_timeout":
		return s.Timeouts.AttemptLimit() > 0 || s.Timeouts.ResponseHeader > 0 || s.Timeouts.Write > 0 || s.Timeouts.Idle > 0
	}
	return !calm
}

// overrides reports whether an override of a policy may have a response repeated that nothing else would.
func overrides(may []*version, status int) bool {
	return slices.ContainsFunc(may, func(v *version) bool {
		return slices.ContainsFunc(v.settings.Retry.Overrides, func(o policy.RetryOverride) bool {
			return slices.ContainsFunc(o.StatusCodes, func(c policy.StatusRange) bool { return int(c.From) <= status && status <= int(c.To) })
		})
	})
}

// checkCalm: where nothing fails, nothing fails.
func (r *round) checkCalm(a *account) {
	if !r.calm || r.fixed.kind != kindCalm || a.abandoned() {
		return
	}
	r.covers("a call had to succeed")
	if a.err != nil || a.status != 200 || !a.whole || a.code != 0 {
		r.blame(a, "nothing failed and it did not succeed: status %d, %q, %v", a.status, a.reason, a.err)
	}
}
