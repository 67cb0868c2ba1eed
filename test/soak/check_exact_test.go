package soak

import (
	"net/http"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// In rounds of two kinds each attempt is answered, nothing breaks and no limit is met: there the rules say exactly how often servers see a call, when, and
// what its client gets. The rules are written down here a second time, as docs/guides/retries.md has them.

func (r *round) checkExact() {
	for _, a := range r.accounts {
		may := r.possible(a)
		if a.sends != 1 || len(may) != 1 {
			continue
		}
		switch r.fixed.kind {
		case kindRetries:
			r.checkRetries(a, &may[0].settings)
		case kindHedges:
			r.checkHedges(a, &may[0].settings)
		case kindForced:
			r.checkForced(a, may[0])
		case kindFaults:
			r.checkFaults(a, may[0].settings.Faults)
		case kindTimeouts:
			r.checkStages(a, &may[0].settings.Timeouts)
		}
	}
}

// answerTraits are what a policy can have a response repeated by.
type answerTraits struct {
	conditions policy.Conditions
	status     int
	grpc       policy.GRPCStatus // 0: none
	failed     bool              // it is no answer that a call ends well with
	wish       time.Duration     // after how long its server wants to be asked again
	wishes     bool
}

func (a *account) traits(p *step) (t answerTraits) {
	if t.status = p.status; a.rpc {
		t.status = http.StatusOK
		if t.grpc = policy.GRPCStatus(rpcStatus(p.status)); p.message() || t.grpc == 0 {
			t.grpc = 0 // a message came first: what follows is nobody's business
			return t
		}
		t.failed = t.grpc == 8 || t.grpc == 13 || t.grpc == 14
	} else {
		t.failed = t.status >= 500 || t.status == 429
		t.conditions = conditionsOf(t.status)
	}
	switch {
	case t.status < 400 && t.grpc == 0:
	case p.wait != 0 && (a.rpc || p.wait > 0):
		t.wish, t.wishes = p.wait, true
	case !a.rpc && (p.wish == "0" || p.wish == "1"):
		t.wish, t.wishes = time.Duration(p.wish[0]-'0')*time.Second, true
	}
	if t.wishes && t.wish >= 0 {
		t.conditions |= policy.Of(policy.RetryAfterPresent)
	}
	return t
}

func conditionsOf(status int) (set policy.Conditions) {
	switch status {
	case 409:
		return policy.Of(policy.Conflict)
	case 429:
		return policy.Of(policy.RateLimited)
	case 529:
		return policy.Of(policy.RateLimited, policy.ServerError)
	case 502, 503, 504:
		return policy.Of(policy.GatewayError, policy.ServerError)
	case 500:
		return policy.Of(policy.ServerError)
	}
	return 0
}

// asks reports whether the policy has a response with such traits repeated, how many retries the call may have then, and how long it waits before.
func asks(r *policy.Retry, t *answerTraits) (asked bool, limit int, b *policy.Backoff) {
	lists := func(on policy.Conditions, codes []policy.StatusRange, statuses []policy.GRPCStatus) bool {
		return on.Intersects(t.conditions) || t.grpc != 0 && slices.Contains(statuses, t.grpc) ||
			slices.ContainsFunc(codes, func(c policy.StatusRange) bool { return int(c.From) <= t.status && t.status <= int(c.To) })
	}
	for i := range r.Overrides {
		if o := &r.Overrides[i]; lists(o.On, o.StatusCodes, o.GRPCStatuses) {
			return true, o.MaxRetries, &o.Backoff
		}
	}
	return lists(r.On, r.StatusCodes, r.GRPCStatuses), r.MaxRetries, &r.Backoff
}

// expected is what becomes of a call that nothing but the answers of its servers decides on.
type expected struct {
	attempts int
	waits    []pause // before each attempt but the first
	failed   bool    // it ends with a failure, or with an answer that the policy would have had repeated
	byMethod bool    // it is the method for which it is not repeated
	byBody   bool    // or its body, of which not enough was kept
}

// pause is how long the wait before an attempt is.
type pause struct{ least, most time.Duration }

// expect works out what becomes of a call.
func expect(a *account, s *policy.Settings) (e expected) {
	r := &s.Retry
	for {
		t := a.traits(&a.steps[min(e.attempts, len(a.steps)-1)])
		e.attempts++
		asked, limit, backoff := asks(r, &t)
		asked = asked && limit > 0
		if e.failed = t.failed || asked; !e.failed {
			return e
		}
		e.byMethod, e.byBody = !mayRepeat(s, a), a.size > 0 && int64(a.carried()) > r.BodyMaxBytes
		honored := t.wishes && r.RetryAfter.Honor
		switch {
		case e.byMethod, !asked, honored && t.wish < 0, a.marked && r.SkipRetried, r.Budget.Percent == 0,
			honored && t.wish > r.RetryAfter.Max, e.byBody, e.attempts > limit:
			return e
		}
		w := backoffBounds(backoff, e.attempts-1)
		if honored {
			w.least, w.most = max(w.least, t.wish), max(w.most, t.wish)
		}
		e.waits = append(e.waits, w)
	}
}

// carried is how many bytes a request has behind its head.
func (a *account) carried() int {
	if a.rpc {
		return prefixSize + a.size
	}
	return a.size
}

// backoffBounds are those of the wait before a retry, of which 0 is the first.
func backoffBounds(b *policy.Backoff, n int) (w pause) {
	d := float64(b.Initial)
	switch b.Strategy {
	case policy.Fixed:
	case policy.Linear:
		d *= float64(n + 1)
	case policy.Exponential:
		for range n {
			d *= b.Multiplier
		}
	}
	w.most = min(time.Duration(d), b.Max)
	switch b.Jitter {
	case policy.JitterNone:
		w.least = w.most
	case policy.JitterEqual:
		w.least = w.most / 2
	}
	return w
}

// mostFraming is what chunks add to a body at most.
const mostFraming = 512

func (r *round) checkRetries(a *account, s *policy.Settings) {
	if left := s.Retry.BodyMaxBytes - int64(a.carried()); a.chunked && left >= 0 && left < mostFraming {
		return // rule 18: how its client has divided it decides whether it is kept
	}
	e := expect(a, s)
	if a.err != nil {
		r.blame(a, "it ended with the error %v, though each attempt was answered", a.err)
		return
	}
	if took := a.head.Sub(a.begun); s.Timeouts.Overall > 0 && took > s.Timeouts.Overall/2 {
		r.doubt(a, "its answer came after %v, though each attempt was answered", took)
		return
	}
	if n := len(a.receipts); n != e.attempts {
		r.blame(a, "servers saw it %d times, and the policy has it be %d", n, e.attempts)
		return
	}
	r.covers("the number of attempts was known")
	if e.attempts > 1 {
		r.covers("a call had to be repeated")
	}
	if len(s.Retry.Overrides) > 0 {
		r.covers("the number of attempts was known under overrides")
	}
	for i, w := range e.waits {
		r.checkWait(a, w, a.receipts[i], a.receipts[i+1])
	}
	r.checkEnd(a, s, &e)
}

// checkWait: the wait before a retry is as long as the policy says, or the server, if that is longer.
func (r *round) checkWait(a *account, w pause, from, to *receipt) {
	if took := to.at.Sub(from.answers); took < w.least {
		r.blame(a, "attempt %d came %v after the answer before it, the wait is %v at least", to.attempt, took, w.least)
	}
	took, slack := to.at.Sub(from.answered), r.slack(from.answers, to.at)
	if took > w.most+slack && a.carried() == 0 && !from.answered.IsZero() { // else it was given up before it had been written as a whole
		r.doubt(a, "attempt %d came %v after the answer before it, the wait is %v at most, it may be late by %v", to.attempt, took, w.most, slack)
	}
	if from.step.wait > 0 && w.least >= from.step.wait {
		r.covers("a server's wish was a bound")
	}
}

// checkEnd: the client gets the last response, or the fallback.
func (r *round) checkEnd(a *account, s *policy.Settings, e *expected) {
	f := s.Fallback
	falls := e.failed && f != nil && f.On.RetriesExhausted
	stands := falls && f.Response != nil
	backed := falls && f.Destination != nil && !e.byBody && mayRepeat(s, a)
	last := e.attempts - 1
	if stands != a.stoodIn || backed != a.backup || stands && a.reason != "upstream_failure" || !stands && !backed && a.answer != last {
		r.blame(a, "it was answered with the response of attempt %d, a fallback's: %v, the backup's: %v; the policy has it be that of %d, %v, %v", a.answer, a.stoodIn, a.backup, last, stands, backed)
	}
	if falls {
		r.covers("a fallback had to answer")
	} else if e.failed && f != nil {
		r.covers("a fallback had to keep out")
	}
}

// checkHedges: another attempt starts once those before have not been answered for as long as the policy says, no more than it allows, and the first
// answer is the call's.
func (r *round) checkHedges(a *account, s *policy.Settings) {
	h := &s.Retry.Hedging
	most := min(h.Max, s.Retry.MaxRetries)
	if !mayRepeat(s, a) || a.marked && s.Retry.SkipRetried || s.Retry.Budget.Percent == 0 || int64(a.carried()) > s.Retry.BodyMaxBytes {
		most = 0
	}
	if n := len(a.receipts); n == 0 || n > 1+most {
		r.blame(a, "servers saw it %d times, and %d hedges are allowed", n, most)
		return
	}
	r.covers("hedges were counted")
	for i, p := range a.receipts[1:] {
		if took := p.at.Sub(a.receipts[i].at); i > 0 && took < 0 || p.at.Sub(a.begun) < time.Duration(i+1)*h.Delay {
			r.blame(a, "hedge %d came %v after the call had begun, one comes after %v", i+1, p.at.Sub(a.begun), h.Delay)
		}
	}
	r.checkHedged(a, h, most)
}

// checkHedged: the hedge comes that must come, and who is first wins.
func (r *round) checkHedged(a *account, h *policy.Hedging, most int) {
	if n := len(a.receipts); n > 0 && n <= most && a.size == 0 {
		due := a.receipts[0].at.Add(time.Duration(n) * h.Delay)
		if slack := r.slack(a.begun, a.head); a.head.Sub(due) > slack {
			r.doubt(a, "it was hedged %d times, and one more was due %v before it was answered; it may be late by %v", n-1, a.head.Sub(due), slack)
		}
	}
	if len(a.receipts) < 2 || a.answer < 0 {
		return
	}
	r.covers("a call was hedged")
	first := time.Time{}
	for _, p := range a.receipts {
		if !p.answered.IsZero() && (first.IsZero() || p.answered.Before(first)) {
			first = p.answered
		}
	}
	if slack := r.slack(a.begun, a.head); a.head.Sub(first) > slack {
		r.doubt(a, "it was answered %v after the first of its attempts, and may be by %v", a.head.Sub(first), slack)
	}
}
