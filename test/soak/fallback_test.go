package soak

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"fairlead.dev/fairlead/internal/policy"
)

// standIn is the answer of fallbacks.
var standIn = &policy.FallbackResponse{Status: 480, Headers: []policy.HeaderField{{Name: standInField, Value: "%REASON%"}}, Body: "another answer"}

const (
	backupService = "shop/backup"
	// backupAttempt stands for the attempt at the backup where its response says which it is of, and in its bytes.
	backupAttempt = 90
)

var backupIP = netip.MustParseAddr("10.96.0.11")

func drawFallback(rng *rand.Rand) *policy.Fallback {
	if rng.IntN(2) == 0 {
		return nil
	}
	f := &policy.Fallback{On: policy.FallbackOn{CircuitOpen: rng.IntN(2) == 0, RateLimited: rng.IntN(2) == 0, RetriesExhausted: rng.IntN(2) == 0}}
	if rng.IntN(2) == 0 {
		f.Response = standIn
	} else {
		f.Destination = &policy.Target{Kind: policy.TargetService, Service: backupService, Ports: []uint16{80}}
	}
	return f
}

// backupDestination is what calls fall back on.
func backupDestination(server netip.AddrPort) *policy.Destination {
	return &policy.Destination{
		Name: backupService, ClusterIPs: []netip.Addr{backupIP}, Hostnames: []string{"backup.shop"},
		Ports: []policy.DestinationPort{{Port: 80, Endpoints: policy.Ready(server)}},
	}
}

// standsIn reports whether calls that fail for a reason may be answered by the policy's own response, and whether they must.
func standsIn(s *policy.Settings, reason string) (may, must bool) {
	f := s.Fallback
	if f == nil || f.Response == nil {
		return false, false
	}
	switch reason {
	case "circuit_open":
		return f.On.CircuitOpen || f.On.RetriesExhausted, f.On.CircuitOpen
	case "rate_limited", "pool_overflow":
		return f.On.RateLimited || f.On.RetriesExhausted, f.On.RateLimited
	case "deadline": // at a limit it is a rejection
		return f.On.RateLimited || f.On.RetriesExhausted, false
	}
	return f.On.RetriesExhausted, f.On.RetriesExhausted
}

// checkStandIn: the fallback's response answers in the cases that the policy names, and in no other.
func (r *round) checkStandIn(a *account, may []*version) {
	right := func(v *version) bool {
		may, must := standsIn(&v.settings, a.reason)
		return a.stoodIn && may || !a.stoodIn && !must
	}
	if !slices.ContainsFunc(may, right) {
		r.blame(a, "it was answered for %q, by a fallback: %v, which no policy in force says", a.reason, a.stoodIn)
	}
	if a.stoodIn {
		r.covers("a response stood in for " + a.reason)
	}
}

// mayOpen reports whether a policy has a circuit that rejects calls.
func mayOpen(v *version) bool {
	b := v.settings.Breaker
	return v.forced.Open || b != nil && b.Scope == policy.ScopeDestination
}

// fallsBack reports whether a policy may have a call go to the backup.
func fallsBack(v *version) bool {
	s := &v.settings
	f := s.Fallback
	if f == nil || f.Destination == nil {
		return false
	}
	circuit := f.On.CircuitOpen && mayOpen(v)
	limited := f.On.RateLimited && (s.RateLimit != nil || s.Concurrency != nil || s.Pool.MaxConnections > 0)
	return circuit || limited || f.On.RetriesExhausted
}

// checkBackup: a call goes to the backup once, in the cases that the policy names, and only if it may be repeated or nobody has got it.
func (r *round) checkBackup(a *account, may []*version) {
	if a.backup && len(a.backups) == 0 {
		r.blame(a, "it was answered with a response of the backup, which has not seen it")
	}
	if len(a.backups) == 0 {
		return
	}
	r.covers("a call fell back on another destination")
	if n := len(a.backups); n > 1 {
		r.blame(a, "the backup saw it %d times", n)
	}
	allowed := func(v *version) bool {
		return fallsBack(v) && (len(a.receipts) == 0 || mayRepeat(&v.settings, a))
	}
	if !slices.ContainsFunc(may, allowed) {
		r.blame(a, "it came to the backup, which no policy in force allows")
	}
}
