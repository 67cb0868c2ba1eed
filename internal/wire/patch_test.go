package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// listOf is a Service with an endpoint for each number.
func listOf(t testing.TB, numbers ...int) *Resource {
	t.Helper()
	d := &policy.Destination{Name: "shop/api", Hostnames: []string{"api"}, Ports: []policy.DestinationPort{{Port: 80}, {Port: 81}}}
	slices.Sort(numbers)
	for _, n := range numbers {
		a := netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)})
		d.Ports[0].Endpoints = append(d.Ports[0].Endpoints, policy.Endpoint{Addr: netip.AddrPortFrom(a, 8080)})
		d.Ports[1].Endpoints = append(d.Ports[1].Endpoints, policy.Endpoint{Addr: netip.AddrPortFrom(a, 9090)})
	}
	r, err := EncodeDestination(d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func upTo(n int, except ...int) []int {
	var out []int
	for i := range n {
		if !slices.Contains(except, i) {
			out = append(out, i)
		}
	}
	return out
}

// viaPatch sends next to somebody who holds base, and returns what arrives and how long the message was.
func viaPatch(t *testing.T, base, next *Resource) (*Resource, int) {
	t.Helper()
	m := updateToProto(Update{Nonce: 1, Set: []*Resource{next}, Deltas: map[Ref]*Delta{next.Ref: NewDelta(base, next)}})
	u, err := updateFromProto(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := u.Set[0].Whole(base)
	if err != nil {
		t.Fatal(err)
	}
	return got, proto.Size(m)
}

func TestAPatchCostsWhatAChangeIs(t *testing.T) {
	base := listOf(t, upTo(1000)...)
	for name, tc := range map[string]struct {
		next *Resource
		most int
	}{
		"one goes":                {listOf(t, upTo(1000, 500)...), 200},
		"the first goes":          {listOf(t, upTo(1000, 0)...), 200},
		"one comes":               {listOf(t, upTo(1001)...), 200},
		"one in place of another": {listOf(t, append(upTo(1000, 17), 2000)...), 300},
		"ten go":                  {listOf(t, upTo(1000, 1, 101, 201, 301, 401, 501, 601, 701, 801, 901)...), 1000},
	} {
		got, size := viaPatch(t, base, tc.next)
		if !bytes.Equal(got.Payload, tc.next.Payload) || got.Version != tc.next.Version {
			t.Errorf("%s: another payload arrived", name)
		}
		if size > tc.most {
			t.Errorf("%s: %d bytes of %d, want at most %d", name, size, len(tc.next.Payload), tc.most)
		}
	}
	// What has little in common is sent whole.
	got, size := viaPatch(t, base, listOf(t, 5000, 5001, 5002))
	if got.Patch != nil || size > 200 {
		t.Errorf("%d bytes, patch %v", size, got.Patch)
	}
}

// Any payload is made again from any other, whatever they have in common.
func TestAPatchMakesThePayload(t *testing.T) {
	ref := Ref{Destination, "shop/api"}
	resource := func(payload []byte) *Resource {
		r, err := NewResource(ref, payload)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 24))
		alphabet := 1 + rng.IntN(200)
		random := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(rng.IntN(alphabet))
			}
			return b
		}
		old := random(rng.IntN(600))
		next := slices.Clone(old)
		for range rng.IntN(5) {
			at := rng.IntN(len(next) + 1)
			end := at + rng.IntN(len(next)+1-at)
			switch rng.IntN(3) {
			case 0:
				next = slices.Delete(next, at, end)
			case 1:
				next = slices.Insert(next, at, random(rng.IntN(40))...)
			case 2:
				next = append(slices.Clone(next[end:]), next[:end]...)
			}
		}
		base, want := resource(old), resource(next)
		patched := &Resource{Ref: ref, Version: want.Version, Patch: patchOf(base, want)}
		got, err := patched.Whole(base)
		if err != nil || !bytes.Equal(got.Payload, next) {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestAPatchThatDoesNotFitIsRefused(t *testing.T) {
	base, next := listOf(t, upTo(100)...), listOf(t, upTo(100, 5)...)
	good := patchOf(base, next)
	change := func(f func(p *Patch)) *Patch {
		p := &Patch{Base: good.Base, Pieces: slices.Clone(good.Pieces)}
		f(p)
		return p
	}
	for name, tc := range map[string]struct {
		patch *Patch
		base  *Resource
	}{
		"nothing held":       {good, nil},
		"another held":       {good, next},
		"another result":     {change(func(p *Patch) { p.Pieces = p.Pieces[1:] }), base},
		"beyond the base":    {change(func(p *Patch) { p.Pieces[0].Length = 1 << 30 }), base},
		"just beyond it":     {change(func(p *Patch) { p.Pieces[0].Offset = uint32(len(base.Payload)) - p.Pieces[0].Length + 1 }), base},
		"far beyond it":      {change(func(p *Patch) { p.Pieces[0].Offset, p.Pieces[0].Length = 1<<32-1, 1<<32-1 }), base},
		"larger than it may": {change(func(p *Patch) { p.Pieces = slices.Repeat(p.Pieces[:1], MaxPayload) }), base},
	} {
		r := &Resource{Ref: next.Ref, Version: next.Version, Patch: tc.patch}
		if _, err := r.Whole(tc.base); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// It must be refused before it is made.
	large := &Patch{Pieces: slices.Repeat([]Piece{{Length: uint32(len(base.Payload))}}, MaxPayload/len(base.Payload)+1)}
	if _, err := large.apply(base.Payload); !errors.Is(err, ErrMalformed) {
		t.Errorf("a payload larger than may be was made: error %v", err)
	}
	m := updateToProto(Update{Set: []*Resource{next}, Deltas: map[Ref]*Delta{next.Ref: NewDelta(base, next)}})
	m.Set[0].Payload = []byte("and a payload")
	if _, err := updateFromProto(m); !errors.Is(err, ErrMalformed) {
		t.Errorf("patch and payload: error %v", err)
	}
}

// FuzzPatch applies anything as a patch, and makes patches between anything.
func FuzzPatch(f *testing.F) {
	base, next := listOf(f, upTo(100)...), listOf(f, upTo(100, 5)...)
	b, err := proto.Marshal(updateToProto(Update{Set: []*Resource{next}, Deltas: map[Ref]*Delta{next.Ref: NewDelta(base, next)}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, base.Payload, next.Payload)
	f.Fuzz(func(t *testing.T, update, old, payload []byte) {
		held, err := NewResource(base.Ref, old)
		if err != nil {
			return
		}
		m := new(pb.Update)
		if proto.Unmarshal(update, m) == nil {
			if u, err := updateFromProto(m); err == nil {
				for _, r := range u.Set {
					if whole, err := r.Whole(held); err == nil && len(whole.Payload) > MaxPayload {
						t.Fatalf("%d bytes", len(whole.Payload))
					}
				}
			}
		}
		if made, err := patchOf(held, &Resource{Payload: payload}).apply(old); err == nil && !bytes.Equal(made, payload) || err != nil && len(payload) <= MaxPayload {
			t.Fatalf("made another payload: %v", err)
		}
	})
}

func BenchmarkPatch(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		base, next := listOf(b, upTo(n)...), listOf(b, append(upTo(n, n/2), n+1)...)
		b.Run(fmt.Sprintf("%d-endpoints", n), func(b *testing.B) {
			for b.Loop() {
				patchOf(base, next)
			}
		})
	}
}
