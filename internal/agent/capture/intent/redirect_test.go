package intent_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
)

func random(r *rand.Rand) intent.Redirect {
	var out intent.Redirect
	address := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(4))})
		}
		return netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(4))})
	}
	port := func() uint16 { return uint16(1 + r.IntN(4)) }
	for range r.IntN(6) {
		out.Addrs = append(out.Addrs, netip.AddrPortFrom(address(), port()))
	}
	for range r.IntN(4) {
		a := address()
		b := intent.Block{Prefix: netip.PrefixFrom(a, a.BitLen()-8*r.IntN(2))}
		for range r.IntN(3) {
			b.Except = append(b.Except, netip.PrefixFrom(a, a.BitLen()-r.IntN(2)))
			b.Ports = append(b.Ports, port())
		}
		out.Blocks = append(out.Blocks, b)
	}
	for range r.IntN(4) {
		out.Ports = append(out.Ports, port())
	}
	for range r.IntN(3) {
		out.Unserved = append(out.Unserved, netip.AddrPortFrom(address(), port()))
	}
	out.FailClosed = r.IntN(2) == 0
	return out
}

// TestNormalFormIsOne: order and repetition do not matter, and what is normal stays as it is.
func TestNormalFormIsOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	comparers := cmp.Options{cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{}), cmpopts.EquateEmpty()}
	for range 5000 {
		given := random(r)
		normal, err := given.Normal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := normal.Normal()
		if err != nil {
			t.Fatal(err)
		}
		other := given
		other.Addrs = append(append([]netip.AddrPort{}, given.Addrs...), given.Addrs...)
		other.Blocks = append(append([]intent.Block{}, given.Blocks...), given.Blocks...)
		other.Ports = append(append([]uint16{}, given.Ports...), given.Ports...)
		other.Unserved = append(append([]netip.AddrPort{}, given.Unserved...), given.Unserved...)
		r.Shuffle(len(other.Addrs), func(i, j int) { other.Addrs[i], other.Addrs[j] = other.Addrs[j], other.Addrs[i] })
		r.Shuffle(len(other.Blocks), func(i, j int) { other.Blocks[i], other.Blocks[j] = other.Blocks[j], other.Blocks[i] })
		r.Shuffle(len(other.Ports), func(i, j int) { other.Ports[i], other.Ports[j] = other.Ports[j], other.Ports[i] })
		shuffled, err := other.Normal()
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]intent.Redirect{"normal again": again, "repeated and shuffled": shuffled} {
			if diff := cmp.Diff(normal, got, comparers); diff != "" || !normal.Equal(got) {
				t.Fatalf("%s: %s", what, diff)
			}
		}
	}
}

func TestRefusesNonsense(t *testing.T) {
	for name, r := range map[string]intent.Redirect{
		"no port":        {Addrs: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), 0)}},
		"no address":     {Addrs: []netip.AddrPort{{}}},
		"unserved":       {Unserved: []netip.AddrPort{{}}, FailClosed: true},
		"no block":       {Blocks: []intent.Block{{}}},
		"mixed families": {Blocks: []intent.Block{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Except: []netip.Prefix{netip.MustParsePrefix("fd00::/8")}}}},
		"too many holes": {Blocks: []intent.Block{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Except: make([]netip.Prefix, intent.MaxExcepts+1)}}},
		"too many":       {Addrs: make([]netip.AddrPort, intent.MaxAddrs+1)},
	} {
		if _, err := r.Normal(); !errors.Is(err, intent.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}
