package soak

import (
	"fmt"
	"strings"
	"time"
)

// String is what is known of a call, for people who look into a violation.
func (a *account) String() string {
	var b strings.Builder
	protocol := "HTTP/1.1"
	if a.http2 {
		protocol = "HTTP/2"
	}
	fmt.Fprintf(&b, "call %d, %s %s by pod %d", a.id, a.method, protocol, a.pod)
	if a.size > 0 {
		fmt.Fprintf(&b, ", %d bytes", a.size)
	}
	if a.key != "" {
		fmt.Fprintf(&b, ", key %s", a.key)
	}
	if a.rpc {
		fmt.Fprintf(&b, ", gRPC, status %d, message %t", a.code, a.message)
	}
	if a.ruled {
		b.WriteString(", under the rule")
	}
	if a.marked {
		b.WriteString(", marked as a retry")
	}
	fmt.Fprintf(&b, "\n\tclient: sent after %v, head after %v, end after %v: status %d %s, response of attempt %d, %d bytes, whole %t, %v",
		since(a.begun, a.sent), since(a.begun, a.head), since(a.begun, a.ended), a.status, a.reason, a.answer, a.got, a.whole, a.err)
	for _, p := range a.receipts {
		fmt.Fprintf(&b, "\n\tattempt %d: seen after %v at %v, answered after %v, written %t, connection broken after %v: %+v",
			p.attempt, since(a.begun, p.at), p.conn.LocalAddr(), since(a.begun, p.answered), p.whole, since(a.begun, p.conn.brokenAt()), p.step)
	}
	return b.String()
}

// blame notes a violation by a call, with the policies that may have governed it. Of a call whose client has left it is not known which these are: the agent
// may have read it later, which is a suspicion.
func (r *round) blame(a *account, format string, args ...any) {
	if a.abandoned() {
		r.suspicion("%s", r.describe(a, format, args...))
		return
	}
	r.violation("%s", r.describe(a, format, args...))
}

// doubt notes a suspicion about a call, with the policies that may have governed it.
func (r *round) doubt(a *account, format string, args ...any) {
	r.suspicion("%s", r.describe(a, format, args...))
}

// blameUnless is blame, or doubt if what was seen depends on time.
func (r *round) blameUnless(timed bool, a *account, format string, args ...any) {
	if timed {
		r.doubt(a, format, args...)
		return
	}
	r.blame(a, format, args...)
}

func (r *round) describe(a *account, format string, args ...any) string {
	var b strings.Builder
	fmt.Fprintf(&b, format, args...)
	fmt.Fprintf(&b, "\n\t%v", a)
	for _, v := range r.possible(a) {
		s := &v.settings
		fmt.Fprintf(&b, "\n\tpolicy, in force after %v: timeouts %+v, retry %+v, pool %+v", since(a.begun, v.from), s.Timeouts, s.Retry, s.Pool)
	}
	return b.String()
}

// describeAll is what is known of several calls together, with when policies were edited.
func (r *round) describeAll(calls map[*account]bool, format string, args ...any) string {
	var b strings.Builder
	fmt.Fprintf(&b, format, args...)
	first := r.accounts[0].begun
	for a := range calls {
		fmt.Fprintf(&b, "\n\tafter %v: %v", since(first, a.begun), a)
	}
	for _, v := range r.versions {
		fmt.Fprintf(&b, "\n\tpolicy, in force after %v", since(first, v.from))
	}
	return b.String()
}

// since is the time between two moments, or 0 where the later one is not known.
func since(from, to time.Time) time.Duration {
	if to.IsZero() {
		return 0
	}
	return to.Sub(from).Round(10 * time.Microsecond)
}
