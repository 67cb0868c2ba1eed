package policy

import "slices"

// SameBreaker reports whether two blocks say the same, what they count as failures included.
func SameBreaker(a, b *Breaker) bool {
	if !sameValue(a.ErrorRate, b.ErrorRate) || !sameValue(a.SlowCalls, b.SlowCalls) {
		return false
	}
	if !slices.Equal(a.FailureGRPC, b.FailureGRPC) || !slices.Equal(a.FailureStatus, b.FailureStatus) {
		return false
	}
	return a.ConsecutiveFailures == b.ConsecutiveFailures && a.FailureOn == b.FailureOn &&
		a.OpenDuration == b.OpenDuration && a.OpenMaxDuration == b.OpenMaxDuration && a.OpenJitterPercent == b.OpenJitterPercent &&
		a.Probes == b.Probes && a.SuccessesToClose == b.SuccessesToClose &&
		a.Scope == b.Scope && a.MaxEjectedPercent == b.MaxEjectedPercent && a.Sharing == b.Sharing
}

func sameValue[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
