package policy

import "time"

// LongestOpen is how long an open period lasts at most, before jitter.
func (b *Breaker) LongestOpen() time.Duration { return max(b.OpenMaxDuration, b.OpenDuration) }

// NextOpen returns how long the open period lasts, before jitter, that follows one of so long: the first, after none, OpenDuration, and one that follows
// a failed probe twice as long as the one before, up to LongestOpen.
func (b *Breaker) NextOpen(last time.Duration) time.Duration {
	limit := b.LongestOpen()
	switch {
	case last == 0:
		return b.OpenDuration
	case last > limit/2:
		return limit
	}
	return 2 * last
}

// JitterOpen returns how long an open period lasts. chance is uniform on [0, 1).
func (b *Breaker) JitterOpen(d time.Duration, chance float64) time.Duration {
	return d + time.Duration(float64(d)*float64(b.OpenJitterPercent)/100*(2*chance-1))
}
