package status

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// destinationStatuses returns the status of each entry of to.
func destinationStatuses(v *index.View, f *distribute.Figures, base *v1alpha1.PolicyStatus, now metav1.Time) []v1alpha1.DestinationStatus {
	breakers, ejected := map[string]distribute.Breakers{}, map[string]int{}
	for _, t := range f.Targets {
		breakers[t.Target] = breakers[t.Target].Plus(t.Breakers)
		ejected[t.Target] = max(ejected[t.Target], t.Ejected)
	}
	before := map[string]*v1alpha1.DestinationStatus{}
	for i := range base.Destinations {
		before[base.Destinations[i].To] = &base.Destinations[i]
	}
	var out []v1alpha1.DestinationStatus
	for _, d := range v.Destinations[:min(len(v.Destinations), v1alpha1.MaxDestinationStatuses)] {
		s := v1alpha1.DestinationStatus{To: Bound(d.Label, maxLabel), Protocol: d.Protocol, Endpoints: d.Endpoints}
		b := breakers[d.Target]
		if was := before[s.To]; was != nil && unknown(&b) {
			s.Breaker, s.BreakerSince = was.Breaker, was.BreakerSince
		} else {
			s.Breaker = stateOf(v, &b)
			s.BreakerSince = breakerSince(&s, was, b.For, now)
		}
		if n := ejected[d.Target]; n > 0 {
			s.Ejected = new(int32(min(n, math.MaxInt32)))
		}
		s.Enforced, s.NotEnforced = enforcement(v, d.Index)
		if d.MeetsQUIC && quicSeen(f) {
			addQUICSeen(&s, d.Index)
		}
		if d.Intercepts {
			addUnintercepted(&s, d.Index, f)
		}
		addUntraced(&s, f)
		s.TLSFailures = tlsFailures(f, d.Target)
		out = append(out, s)
	}
	return out
}

// tlsFailures lists why TLS to a target failed. How often is left to the metric: a status that counts would be written all the time.
func tlsFailures(f *distribute.Figures, target string) []string {
	var out []string
	for i := range f.Targets {
		for _, failure := range f.Targets[i].TLSFailures {
			if f.Targets[i].Target == target && !slices.Contains(out, failure.Reason) {
				out = append(out, failure.Reason)
			}
		}
	}
	slices.Sort(out)
	return out[:min(len(out), v1alpha1.MaxTLSFailures)]
}

// sameSince is how far two reports of one change of a breaker may lie apart: agents report its age, and whole seconds are shown.
const sameSince = 3 * time.Second

// breakerSince returns since when a breaker has been in its state, given what was known before and for how long agents say it has.
func breakerSince(s, before *v1alpha1.DestinationStatus, age time.Duration, now metav1.Time) *metav1.Time {
	var was *metav1.Time
	if before != nil && before.Breaker == s.Breaker {
		was = before.BreakerSince
	}
	since := metav1.NewTime(now.Add(-age).Truncate(time.Second))
	switch {
	case s.Breaker == "":
		return nil
	case s.Breaker == v1alpha1.BreakerStateClosed && before != nil && before.Breaker != "" && before.Breaker != s.Breaker:
		return &now // agents do not say when a breaker closed
	case s.Breaker == v1alpha1.BreakerStateClosed:
		return was
	case was != nil && was.Sub(since.Time).Abs() <= sameSince:
		return was
	}
	return &since
}

// enforcement says how much is enforced for entry i of to.
func enforcement(v *index.View, i int) (v1alpha1.Enforcement, []v1alpha1.NotEnforcedField) {
	var fields []v1alpha1.NotEnforcedField
	none := v.Mode != v1alpha1.ModeEnforce || !v.InForce
	for _, g := range v.Unenforced {
		if g.Target >= 0 && g.Target != i {
			continue
		}
		none = none || g.Target == i && strings.HasSuffix(g.Field, "protocol") && g.Reason != v1alpha1.ReasonOpaqueProtocol
		if len(fields) < v1alpha1.MaxNotEnforced {
			fields = append(fields, v1alpha1.NotEnforcedField{Field: Bound(g.Field, maxField), Reason: g.Reason})
		}
	}
	switch {
	case none:
		return v1alpha1.EnforcementNone, fields
	case len(fields) > 0:
		return v1alpha1.EnforcementPartial, fields
	}
	return v1alpha1.EnforcementFull, nil
}

// quicSeen reports whether agents have seen pods of the policy call over QUIC.
func quicSeen(f *distribute.Figures) bool {
	return slices.ContainsFunc(f.Notices, func(n policy.CaptureProblem) bool { return n.Reason == policy.NoticeQUICSeen })
}

// addQUICSeen says that calls to entry i of to may pass by.
func addQUICSeen(s *v1alpha1.DestinationStatus, i int) {
	if s.Enforced == v1alpha1.EnforcementNone || len(s.NotEnforced) >= v1alpha1.MaxNotEnforced {
		return
	}
	s.Enforced = v1alpha1.EnforcementPartial
	s.NotEnforced = append(s.NotEnforced, v1alpha1.NotEnforcedField{Field: fmt.Sprintf("to[%d]", i), Reason: v1alpha1.ReasonQUICSeen})
}

func summarize(v *index.View) string {
	var names []string
	for _, d := range v.Destinations {
		names = append(names, d.Label)
	}
	return Bound(NameSome(names, len(names)), maxSummary)
}
