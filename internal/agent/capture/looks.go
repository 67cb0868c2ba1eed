package capture

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

const (
	// recountOlder is how long passes between two counts of connections that are older than their policy, while there are any.
	recountOlder = 30 * time.Second
	// recountAddresses is how long passes before they are counted again because Services have other addresses, which is no news as a rule.
	recountAddresses = 5 * time.Minute
	// never is when they are counted again where there were none.
	never = 100 * 365 * 24 * time.Hour
	// rewrittenFor is how long it is told that a pod's rules had to be written again.
	rewrittenFor = 5 * time.Minute
)

// inspection is what a door looks for in a captured pod from time to time. It is used by the door's own goroutine.
type inspection struct {
	findings  findings
	next      time.Time // when to look again
	recount   time.Time // when to count older connections again although there were none
	redirect  Redirect  // what is redirected
	rewritten time.Time // when the rules were found changed the last time
}

// findings is what was found. Its maps and lists are never changed.
type findings struct {
	foreign   []string
	older     map[policy.ID]int
	olderAll  int
	rewritten bool
}

// inspectSoon has everything looked at again at once.
func (l *inspection) inspectSoon() { l.next = time.Time{} }

// inspectAll has everything looked at again when the door is open again: for a while connections were not redirected.
func (l *inspection) inspectAll() { l.next, l.recount = time.Time{}, time.Time{} }

// redirectChanged has connections counted again because other ones are redirected from now on.
func (l *inspection) redirectChanged(r Redirect) {
	before := l.redirect
	l.redirect = r
	r.Addrs, r.FailClosed = before.Addrs, before.FailClosed
	if !before.Equal(r) {
		l.inspectAll()
	} else if soon := time.Now().Add(recountAddresses); l.recount.After(soon) {
		l.recount = soon
	}
}

// pause is how long to wait for the next look, at most most.
func (l *inspection) pause(most time.Duration) time.Duration {
	return max(min(most, time.Until(l.next)), time.Millisecond)
}

// inspect looks for what a captured pod has that its policies' authors should know of. Failures to look change nothing: there is a next time.
//
// Counting connections walks over all sockets of the node, so it is done when a door opens or redirects something else, and again only while
// there are any to count: where there were none there will be none.
func (d *podCapture) inspect(g goal) {
	l, now := &d.inspection, time.Now()
	l.findings.rewritten = !l.rewritten.IsZero() && now.Sub(l.rewritten) < rewrittenFor
	if now.Before(l.next) {
		return
	}
	l.next = now.Add(inspectInterval)
	if found, err := d.redirector.Foreign(); err == nil {
		l.findings.foreign = found
		d.foreign.Store(len(found) > 0)
	}
	if l.findings.olderAll == 0 && now.Before(l.recount) {
		return
	}
	if older, err := d.redirector.Older(g.spec.Redirect); err == nil {
		l.findings.olderAll, l.findings.older = len(older), g.spec.attribute(older)
		l.recount = now.Add(never)
	}
	if l.findings.olderAll > 0 {
		l.next = now.Add(recountOlder)
	}
}

// attribute counts connections by the policies that they would come under, by their destinations.
func (s *PodSpec) attribute(older []netip.AddrPort) map[policy.ID]int {
	counts := make(map[policy.ID]int)
	for _, to := range older {
		ids := s.Policies
		if s.Governing != nil {
			ids = s.Governing(to)
		}
		for _, id := range ids {
			counts[id]++
		}
	}
	return counts
}

func (d *podCapture) counts() (captured bool, older int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status.captured, int64(d.status.findings.olderAll)
}

// Older counts the open connections of captured pods that no policy governs because they are older than the capture, by the policies that
// would govern them.
func (m *Manager) Older() map[policy.ID]int {
	all := make(map[policy.ID]int)
	for _, d := range m.podCaptures() {
		d.mu.Lock()
		older := d.status.findings.older
		d.mu.Unlock()
		for id, n := range older {
			all[id] += n
		}
	}
	return all
}

// Notices lists what there is to know of captured pods, sorted.
func (m *Manager) Notices() []policy.CaptureProblem {
	var list []policy.CaptureProblem
	for _, d := range m.podCaptures() {
		d.mu.Lock()
		r, spec := d.status, d.goal.spec
		d.mu.Unlock()
		notice := policy.CaptureProblem{Namespace: spec.Pod.Namespace, Pod: spec.Pod.Name, Policies: spec.Policies}
		if r.captured && r.findings.rewritten {
			notice.Reason, notice.Message = ReasonRulesChanged, "something in the pod has changed the agent's rules; they were written again"
			list = append(list, notice)
		}
		if r.captured && len(r.findings.foreign) > 0 {
			notice.Reason = ReasonForeignRedirect
			notice.Message = "another proxy takes the pod's connections first (" + strings.Join(r.findings.foreign, ", ") + "); what it sends is captured"
			list = append(list, notice)
		}
	}
	slices.SortFunc(list, func(a, b policy.CaptureProblem) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Pod, b.Pod), strings.Compare(a.Reason, b.Reason))
	})
	return list
}
