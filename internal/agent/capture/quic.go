package capture

import (
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// quicSeenFor is for how long a notice says that a pod has called over QUIC.
const quicSeenFor = 10 * time.Minute

const quicMessage = "the pod calls over QUIC (UDP port 443), which no policy governs; udp443: Reject makes clients go on with TCP"

// quicFlows is what was seen of a counter of flows.
type quicFlows struct {
	counted uint64
	last    time.Time // when there were more than before; zero: never
}

// seen notes what the counter says, and reports whether there were flows of late. A counter that has begun anew counts from zero.
func (q *quicFlows) seen(now time.Time, flows uint64) bool {
	if flows > q.counted || flows > 0 && flows < q.counted {
		q.last = now
	}
	q.counted = flows
	return !q.last.IsZero() && now.Sub(q.last) < quicSeenFor
}

// inspectQUIC reads the counter of a pod that could call over QUIC what is redirected. Failures change nothing.
func (p *podCapture) inspectQUIC(g goal, now time.Time) {
	i := &p.inspection
	if !g.spec.Redirect.MayMeetQUIC() {
		i.findings.quic = false
		return
	}
	if flows, err := p.attached.QUIC(); err == nil {
		i.findings.quic = i.quic.seen(now, flows)
	}
}

// meetingQUIC names the policies that govern what the pod could call over QUIC.
func (s *PodSpec) meetingQUIC() []policy.ID {
	if s.Claims == nil {
		return s.Policies
	}
	return s.Claims().MeetingQUIC()
}

// oneOfQUIC leaves one notice of QUIC for each set of policies: where one pod uses it all of its kind do, and there is room for few.
func oneOfQUIC(sorted []policy.CaptureProblem) []policy.CaptureProblem {
	var known [][]policy.ID
	return slices.DeleteFunc(sorted, func(n policy.CaptureProblem) bool {
		if n.Reason != ReasonQUICSeen {
			return false
		}
		if slices.ContainsFunc(known, func(ids []policy.ID) bool { return slices.Equal(ids, n.Policies) }) {
			return true
		}
		known = append(known, n.Policies)
		return false
	})
}
