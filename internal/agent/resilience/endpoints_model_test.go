package resilience

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// plainEndpoints is the plain way to judge endpoints, of which each attempt ends before the next one begins.
type plainEndpoints struct {
	cfg       *policy.Breaker
	all       map[netip.AddrPort]*plainEndpoint
	prevented uint64
}

type plainEndpoint struct {
	addr      netip.AddrPort
	triggers  *plainTriggers
	out       bool
	until     time.Time // of the open time
	asked     time.Time // when it was probed last
	back      time.Time // when it was let back last
	outFor    time.Duration
	successes int
}

func (p *plainEndpoints) setMembers(now time.Time, addrs []netip.AddrPort) {
	next := map[netip.AddrPort]*plainEndpoint{}
	for _, a := range addrs {
		if next[a] = p.all[a]; next[a] == nil {
			next[a] = &plainEndpoint{addr: a, triggers: newPlainTriggers(p.cfg)}
		}
	}
	p.all = next
	for len(p.outs()) > p.mayBeOut() {
		p.letBack(now, slices.MinFunc(p.outs(), func(a, b *plainEndpoint) int {
			return cmp.Or(a.until.Compare(b.until), a.addr.Compare(b.addr))
		}))
	}
}

func (p *plainEndpoints) outs() (out []*plainEndpoint) {
	for _, ep := range p.all {
		if ep.out {
			out = append(out, ep)
		}
	}
	return out
}

func (p *plainEndpoints) mayBeOut() int {
	n := 0
	for n+1 < len(p.all) && (n+1)*100 <= p.cfg.MaxEjectedPercent*len(p.all) {
		n++
	}
	return n
}

func (p *plainEndpoints) letBack(now time.Time, ep *plainEndpoint) {
	ep.out, ep.back, ep.triggers, ep.successes = false, now, newPlainTriggers(p.cfg), 0
}

func (p *plainEndpoints) putOut(now time.Time, ep *plainEndpoint) {
	if ep.outFor *= 2; ep.outFor == 0 {
		ep.outFor = p.cfg.OpenDuration
	}
	ep.outFor = min(ep.outFor, p.cfg.OpenMaxDuration)
	ep.out, ep.until, ep.successes = true, now.Add(ep.outFor), 0
}

// lapse forgets what happened so long ago that nobody knows whether it still holds.
func (p *plainEndpoints) lapse(now time.Time, ep *plainEndpoint) {
	quiet := ep.until
	if ep.asked.After(quiet) {
		quiet = ep.asked
	}
	if ep.out && now.Sub(quiet) > 2*p.cfg.OpenMaxDuration {
		p.letBack(now, ep)
		ep.outFor = 0
	}
}

// attempt makes one, and reports whether it was allowed.
func (p *plainEndpoints) attempt(now time.Time, ep *plainEndpoint, failed bool) bool {
	switch p.lapse(now, ep); {
	case ep.out && now.Before(ep.until):
		return false
	case ep.out && failed:
		ep.asked = now
		p.putOut(now, ep)
	case ep.out:
		ep.asked = now
		if ep.successes++; ep.successes == p.cfg.SuccessesToClose {
			p.letBack(now, ep)
		}
	case !ep.triggers.record(now, Result{Failed: failed}):
	case len(p.outs()) == p.mayBeOut():
		p.prevented++
	default:
		for well := now.Sub(ep.back); ep.outFor > 0 && well >= ep.outFor; {
			well -= ep.outFor
			if ep.outFor /= 2; ep.outFor < p.cfg.OpenDuration {
				ep.outFor = 0
			}
		}
		p.putOut(now, ep)
	}
	return true
}

func addrOf(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)
}

// Endpoints are put out and let back at the very results, and stay out for as long, as where all is counted plainly.
func TestRule22_EndpointsAreJudgedAsPlainCountingDoes(t *testing.T) {
	var ejections, prevented, permitted, refused uint64
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 5))
		cfg := randomTriggers(random)
		cfg.SlowCalls, cfg.MaxEjectedPercent, cfg.SuccessesToClose = nil, random.IntN(101), 1+random.IntN(3)
		now := t0
		e, plain := NewEndpoints(cfg, t0, middle), &plainEndpoints{cfg: cfg}
		bad := make([]float64, 12)
		for range 1500 {
			now = now.Add(time.Duration(random.ExpFloat64() * float64(20*time.Millisecond)))
			if len(plain.all) == 0 || random.IntN(100) == 0 {
				var members []netip.AddrPort
				for i := range bad {
					if bad[i] = random.Float64() * random.Float64(); random.IntN(3) > 0 || i == 0 {
						members = append(members, addrOf(i))
					}
				}
				e.SetMembers(now, members)
				plain.setMembers(now, members)
			}
			i := random.IntN(len(bad))
			ep, is := e.Of(addrOf(i)), plain.all[addrOf(i)]
			if (ep == nil) != (is == nil) {
				t.Fatalf("seed %d: is %v an endpoint?", seed, addrOf(i))
			}
			if ep == nil {
				continue
			}
			failed := random.Float64() < bad[i]
			takes := ep.Takes(now, 0)
			b, p, ok := ep.Allow(now)
			if ok {
				b.Done(now, p, Result{Failed: failed})
				permitted++
			} else {
				refused++
			}
			if want := plain.attempt(now, is, failed); ok != want || takes != want {
				t.Fatalf("seed %d: allowed %v, taken %v, want %v", seed, ok, takes, want)
			}
			if e.Out() != len(plain.outs()) || e.Out() > plain.mayBeOut() {
				t.Fatalf("seed %d: %d are out, want %d of at most %d", seed, e.Out(), len(plain.outs()), plain.mayBeOut())
			}
			if s := b.Status(now); is.out && s.State == Open && !s.Until.Equal(is.until) {
				t.Fatalf("seed %d: out until %v, want %v", seed, s.Until.Sub(t0), is.until.Sub(t0))
			}
		}
		s := e.Status(now)
		if s.Prevented != plain.prevented {
			t.Fatalf("seed %d: prevented %d times, want %d", seed, s.Prevented, plain.prevented)
		}
		prevented += s.Prevented
		for _, n := range s.Ejections {
			ejections += n
		}
	}
	if ejections < 1000 || prevented < 1000 || permitted < 50_000 || refused < 5000 {
		t.Errorf("%d ejections, %d prevented, %d attempts, %d refused: the test shows little", ejections, prevented, permitted, refused)
	}
}
