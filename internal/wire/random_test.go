package wire

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/policy"
)

// random fills compiled policy with random valid content. It walks types by reflection, so a field added to package policy is
// filled, and missed by the round trip until it is translated.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 1))} }

// enums says how many values each enum has.
func enumSizes() map[reflect.Type]int {
	return map[reflect.Type]int{
		reflect.TypeFor[policy.Kind]():          len(policyKinds),
		reflect.TypeFor[policy.Mode]():          len(modes),
		reflect.TypeFor[policy.TargetKind]():    len(targetKinds),
		reflect.TypeFor[policy.Protocol]():      len(protocols),
		reflect.TypeFor[policy.PathMatch]():     len(pathMatches),
		reflect.TypeFor[policy.ValueMatch]():    len(valueMatches),
		reflect.TypeFor[policy.Idempotency]():   len(idempotencies),
		reflect.TypeFor[policy.Strategy]():      len(strategies),
		reflect.TypeFor[policy.Jitter]():        len(jitters),
		reflect.TypeFor[policy.BreakerScope]():  len(breakerScopes),
		reflect.TypeFor[policy.FaultAbort]():    len(faultAborts),
		reflect.TypeFor[policy.Sharing]():       len(sharings),
		reflect.TypeFor[policy.LoadBalancing](): len(loadBalancings),
		reflect.TypeFor[policy.AccessLog]():     len(accessLogs),
		reflect.TypeFor[policy.TLSMode]():       len(tlsModes),
		reflect.TypeFor[policy.FlowProtocol]():  len(flowProtocols),
		reflect.TypeFor[policy.BreakerView]():   len(breakerViews),
		reflect.TypeFor[policy.BreakerOrder]():  len(breakerOrders),
		reflect.TypeFor[policy.GRPCStatus]():    1 << 8, // a number on the wire: every one travels
	}
}

func (r random) fill(v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *netip.Addr:
		*p = r.addr()
		return
	case *netip.AddrPort:
		*p = netip.AddrPortFrom(r.addr(), uint16(r.Uint32()))
		return
	case *netip.Prefix:
		a := r.addr()
		*p = netip.PrefixFrom(a, r.IntN(a.BitLen()+1))
		return
	case *[]policy.Endpoint:
		r.fillKind(v)
		slices.SortFunc(*p, func(a, b policy.Endpoint) int { return a.Addr.Compare(b.Addr) }) // as they always are
		return
	case *policy.Fallback:
		r.fillKind(v)
		if to := p.Destination; to != nil { // one Service or host
			to.Kind = policy.TargetKind(r.IntN(2))
			to.Ports = to.Ports[:min(len(to.Ports), 1):min(len(to.Ports), 1)]
			if len(to.Ports) == 0 {
				to.Ports = nil
			}
		}
		return
	case *Demand:
		r.fillKind(v)
		if p.Serial != 0 { // else it says which share it goes by
			p.Share = policy.Share{}
		}
		return
	case *[]byte:
		*p = []byte{byte(r.Uint32()), byte(r.Uint32())} // never empty: an empty one and none are the same
		return
	case *policy.Conditions:
		*p = policy.Conditions(r.IntN(1 << len(conditions)))
		return
	case *policy.TLSFailure:
		*p = policy.TLSFailure{Reason: fmt.Sprint("reason_", r.IntN(100)), Count: r.Uint64N(maxTally + 1)}
		return
	case *policy.Flow: // whose names are of ASCII
		r.fillKind(v)
		p.Caller = policy.Caller{Namespace: fmt.Sprint("ns", r.IntN(9)), Workload: fmt.Sprint("w", r.IntN(9))}
		p.Target, p.Destination = fmt.Sprint("host h", r.IntN(9)), fmt.Sprint("h", r.IntN(9), ":443")
		return
	case *policy.Latency:
		if r.IntN(2) == 0 {
			p[r.IntN(len(p))] = r.Uint64N(maxTally + 1)
		}
		return
	case *time.Duration:
		*p = time.Duration(r.Int64N(int64(maxDuration) + 1))
		return
	}
	if n, ok := enumSizes()[v.Type()]; ok {
		v.SetUint(uint64(r.IntN(n)))
		return
	}
	r.fillKind(v)
}

func (r random) fillKind(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if strings.HasSuffix(v.Type().Field(i).Name, "Percent") {
				v.Field(i).SetInt(r.Int64N(maxPercent + 1))
			} else {
				r.fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			r.fill(v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				r.fill(v.Index(i))
			}
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%c%x", 'a'+rune(r.IntN(1000)), r.Uint32()))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int:
		v.SetInt(int64(r.Int32()))
	case reflect.Int64:
		v.SetInt(r.Int64N(maxSize + 1))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Uint64:
		v.SetUint(r.Uint64N(maxTally + 1))
	case reflect.Float64:
		v.SetFloat(maxMultiplier * r.Float64())
	default:
		panic("random: no rule for " + v.Type().String())
	}
}

func (r random) addr() netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if r.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

func randomOf[T any](r random) *T {
	v := new(T)
	r.fill(reflect.ValueOf(v).Elem())
	return v
}

func (r random) profile() *policy.Profile {
	p := randomOf[policy.Profile](r)
	p.Generation = 0 // does not travel
	for i := range p.Bindings {
		if to := &p.Bindings[i].To; to.Kind != policy.TargetCIDR {
			to.Block = netip.Prefix{}
		}
	}
	return p
}
