package routes

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/policy"
)

// Handshake is what has become of a pod's TLS that is to be intercepted.
type Handshake uint8

const (
	// HandshakeDone: the pod has accepted the certificate, as its first request shows.
	HandshakeDone Handshake = iota
	// HandshakeDistrusted: it has said that it does not, or has closed the connection when it had it.
	HandshakeDistrusted
	// HandshakeFailed: the handshake has ended in another way.
	HandshakeFailed
	// HandshakeDeclined: the pod cannot be served, such as one that asks for another protocol, and is passed through.
	HandshakeDeclined
	// HandshakeSpared: the pod does not trust the certificates, and is passed through by now (policy.TLS.PassAfter).
	HandshakeSpared
	// HandshakeWithoutIssuer: the node has no issuer for the name, and the pod is passed through.
	HandshakeWithoutIssuer
	// HandshakeCount is the number of ends.
	HandshakeCount
)

var handshakeNames = [HandshakeCount]string{"ok", "not_trusted", "failed", "declined", "passed_not_trusted", "passed_no_issuer"}

// String returns the end as metrics show it.
func (h Handshake) String() string { return handshakeNames[min(h, HandshakeCount-1)] }

// trust is what is known of whether a pod trusts the issuer, at one host.
type trust struct {
	// atomic
	inRow atomic.Int64 // handshakes that it has ended, since it has accepted one
	ended atomic.Int64 // in all
	last  atomic.Int64 // a transport.Instant: when it last ended one, or was passed through for that
	// Connections that were closed unused look like distrust, and may be none.
	accepted atomic.Int64 // a transport.Instant: when a request last showed that it has accepted one
	guessed  atomic.Int64 // of those in a row, how many were guessed
	until    atomic.Int64 // a transport.Instant: a request that comes before shows that they were none
}

// distrustFor is for how long it is said that a pod does not trust the issuer, since that last showed.
const distrustFor = 10 * time.Minute

// Intercepting reports whether a pod's TLS is to end at the agent: not if the policy says that by now it has shown often enough that it
// does not trust the certificates.
func (r *Route) Intercepting() bool {
	limit := int64(r.source.To.TLS.PassAfter)
	return limit <= 0 || r.entry.trust.inRow.Load() < limit
}

// HandshakeEnded notes what has become of a pod's TLS on a route that is intercepted.
func (r *Route) HandshakeEnded(h Handshake, now time.Time) {
	t := &r.entry.trust
	switch h {
	case HandshakeDone:
		t.inRow.Store(0)
		t.accept(transport.At(now))
	case HandshakeDistrusted:
		t.inRow.Add(1)
		t.ended.Add(1)
		t.last.Store(int64(transport.At(now)))
	case HandshakeSpared:
		t.last.Store(int64(transport.At(now)))
	case HandshakeFailed, HandshakeDeclined, HandshakeWithoutIssuer, HandshakeCount:
	}
	r.Recorder().Handshake(h)
}

// accept notes that a request has come, and that connections beside its own that were closed unused just before were no distrust.
func (t *trust) accept(now transport.Instant) {
	t.accepted.Store(int64(now))
	if guessed := t.guessed.Swap(0); guessed > 0 && int64(now) < t.until.Load() && t.ended.Add(-guessed) <= 0 {
		t.last.Store(0)
	}
}

// ClosedUnused notes that a pod has closed a connection, at now, that has been open since its handshake and carried nothing. That is distrust, as far
// as anybody can say, unless another of its connections had a request within a time of it: clients of HTTP/2 open several at once, and keep one.
func (r *Route) ClosedUnused(since, now time.Time, within time.Duration) {
	t, span := &r.entry.trust, transport.Instant(within)
	if accepted := transport.Instant(t.accepted.Load()); accepted != 0 && accepted > transport.At(since)-span {
		return
	}
	t.guessed.Add(1)
	t.until.Store(int64(transport.At(now) + span))
	r.HandshakeEnded(HandshakeDistrusted, now)
}

// Distrust is a pod that does not trust the issuer of this node.
type Distrust struct {
	Pod string // UID
	// Policies have a part in the settings for the host.
	Policies []policy.ID
	Host     string
	// Ended is how many handshakes it has ended. Spared: it is passed through by now.
	Ended  int
	Spared bool
}

// Distrusts lists the pods that have shown of late that they do not trust the issuer, sorted.
func (s *Table) Distrusts(now time.Time) []Distrust {
	out := s.distrusts(now)
	slices.SortFunc(out, func(a, b Distrust) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Host, b.Host))
	})
	return out
}

func (s *Table) distrusts(now time.Time) (out []Distrust) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.entries.pods {
		for _, e := range p.all {
			last := transport.Instant(e.trust.last.Load())
			if last == 0 || transport.At(now)-last >= transport.Instant(distrustFor) {
				continue
			}
			if of := s.bindings[e.key.binding]; len(of) > 0 {
				limit := int64(of[0].source.To.TLS.PassAfter)
				out = append(out, Distrust{
					Pod: e.pod, Policies: of[0].involved(), Host: hostOf(e.key.destination), Ended: int(e.trust.ended.Load()),
					Spared: limit > 0 && e.trust.inRow.Load() >= limit,
				})
			}
		}
	}
	return out
}

// involved returns the policies that have a part in the binding.
func (b *Binding) involved() []policy.ID {
	if len(b.source.Merged) > 0 {
		return b.source.Merged
	}
	return []policy.ID{b.ID()}
}

// Issuer returns from when until when the node's issuer may be used; false: it has none.
func (s *Table) Issuer() (notBefore, notAfter time.Time, ok bool) {
	i := s.issuer.Load()
	if i == nil {
		return time.Time{}, time.Time{}, false
	}
	notBefore, notAfter = i.Validity()
	return notBefore, notAfter, true
}

// issuerWait is how long an issuer may take to come, behind the policy that needs it, before that is said.
const issuerWait = 15 * time.Second

// Unissued lists the pods, and for each the policies, whose TLS is to be intercepted while the node has no issuer that is valid.
func (s *Table) Unissued(now time.Time) map[string][]policy.ID {
	since := transport.Instant(s.unissued.Load())
	switch i := s.issuer.Load(); {
	case i == nil && (since == 0 || transport.At(now)-since < transport.Instant(issuerWait)), i != nil && i.Valid(now):
		return nil
	}
	out := map[string][]policy.ID{}
	for uid, t := range s.current.Load().tables {
		for _, b := range t.profile.bindings {
			if b.Intercepts() {
				out[uid] = append(out[uid], b.involved()...)
			}
		}
	}
	return out
}
