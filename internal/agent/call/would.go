package call

// Would is what a dry run would have done with a call first that was not done. It is a closed enum: also a metric's label.
type Would uint8

// What a dry run would do.
const (
	// WouldSame: what was done.
	WouldSame Would = iota
	// WouldRetry: make another attempt.
	WouldRetry
	// WouldHedge: start another attempt beside the one that took long.
	WouldHedge
	// WouldTimeOutAttempt: give an attempt up that took longer than its timeout.
	WouldTimeOutAttempt
	// WouldTimeOut: give the call up that took longer than its deadline.
	WouldTimeOut
	// WouldEnd: cut a response that took longer than timeouts.maxDuration.
	WouldEnd
	// WouldReject: reject the call, because its circuit breaker was open.
	WouldReject
	// WouldLimit: reject the call, because a limit was reached.
	WouldLimit
	// WouldQueue: have the call wait for a limit.
	WouldQueue
	// WouldFallBack: answer with the fallback.
	WouldFallBack
	// WouldNotRetry: not make an attempt that was made.
	WouldNotRetry
	// WouldLetIn: let a call in that was rejected or had to wait.
	WouldLetIn
	// WouldDiffer: decide differently in another way.
	WouldDiffer
	// WouldCount is the number of things.
	WouldCount
)

var wouldNames = [WouldCount]string{
	WouldSame: "same", WouldRetry: "retry", WouldHedge: "hedge", WouldTimeOutAttempt: "per_try_timeout", WouldTimeOut: "deadline",
	WouldEnd: "max_duration", WouldReject: "circuit_open", WouldLimit: "limit", WouldQueue: "queue", WouldFallBack: "fallback",
	WouldNotRetry: "no_retry", WouldLetIn: "let_in", WouldDiffer: "other",
}

// String returns it as metrics and logs show it.
func (w Would) String() string { return wouldNames[min(w, WouldCount-1)] }

// would says what it comes to that a call does a and its shadow b.
func (c *Call) would(a, b Action) Would {
	s := c.shadow
	if w, ok := s.wouldAlone(b); ok {
		return w
	}
	switch {
	case c.last == RateLimited || c.last == BreakerOpen || c.phase == entering:
		return WouldLetIn
	case retries(a) && retries(b):
		return WouldDiffer
	case retries(b):
		return WouldRetry
	case fallsBack(b) && !fallsBack(a):
		return WouldFallBack
	case retries(a) && s.Ended():
		return WouldNotRetry
	}
	return WouldDiffer
}

// wouldInTime says what b comes to that a shadow does because time has passed.
func (c *Call) wouldInTime(b Action) Would {
	if w, ok := c.wouldAlone(b); ok {
		return w
	}
	switch c.last {
	case Deadline:
		return WouldTimeOut
	case AttemptTimeout:
		return WouldTimeOutAttempt
	default:
		return WouldDiffer
	}
}

// wouldAlone says what b comes to that a shadow does, as far as that does not depend on what the call does.
func (c *Call) wouldAlone(b Action) (w Would, ok bool) {
	switch {
	case b.Do == StartAttempt && b.Start == Hedged:
		return WouldHedge, true
	case c.phase == entering:
		return WouldQueue, true
	case c.last == BreakerOpen:
		return WouldReject, true
	case c.last == RateLimited:
		return WouldLimit, true
	}
	return WouldSame, false
}

// retries reports whether an action leads to another attempt.
func retries(a Action) bool {
	return a.Do == Wait || a.Do == StartAttempt && (a.Start == Retry || a.Start == Repair)
}

// fallsBack reports whether an action is that of a fallback.
func fallsBack(a Action) bool {
	return a.Do == Respond || a.Do == StartAttempt && a.Start == FallbackStart
}
