package wire

import (
	"bytes"
	"errors"
	"math"
	"math/bits"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

var netipEqual = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

// roundTrip encodes v twice, decodes it, and wants the same bytes and the same value.
func roundTrip[T any](t *testing.T, v *T, encode func(*T) (*Resource, error), decode func(*Resource) (*T, error)) {
	t.Helper()
	r, err := encode(v)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	got, err := decode(r)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if diff := cmp.Diff(v, got, netipEqual); diff != "" {
		t.Fatalf("changed on the way (-sent +received):\n%s", diff)
	}
	again, err := encode(got)
	if err != nil {
		t.Fatalf("encode again: %v", err)
	}
	if !bytes.Equal(again.Payload, r.Payload) || again.Version != r.Version {
		t.Fatal("equal values have different encodings")
	}
}

// seeds is how many random values of each kind are tried: each sets every field in another way.
const seeds = uint64(150)

func TestEveryCompiledPolicySurvivesTheTrip(t *testing.T) {
	for seed := range seeds {
		r := newRandom(seed)
		roundTrip(t, r.profile(), EncodeProfile, (*Resource).Profile)
		roundTrip(t, randomOf[policy.Workload](r), EncodeWorkload, (*Resource).Workload)
		roundTrip(t, randomOf[policy.Destination](r), EncodeDestination, (*Resource).Destination)
		roundTrip(t, randomOf[policy.Roots](r), standard.Roots, (*Resource).Roots)
		roundTrip(t, randomOf[policy.KeyPair](r), standard.KeyPair, (*Resource).KeyPair)
		roundTrip(t, randomOf[policy.Credentials](r), standard.Credentials, (*Resource).Credentials)
	}
}

func TestDifferentContentHasADifferentVersion(t *testing.T) {
	seen := map[Version]uint64{}
	for seed := range seeds {
		r, err := EncodeProfile(newRandom(seed).profile())
		if err != nil {
			t.Fatal(err)
		}
		if other, dup := seen[r.Version]; dup {
			t.Fatalf("profiles of seeds %d and %d have version %s", other, seed, r.Version)
		}
		seen[r.Version] = seed
	}
}

func TestDefaultsSurviveTheTrip(t *testing.T) {
	breaker := policy.DefaultBreaker()
	base := policy.Defaults()
	base.Breaker = &breaker
	p := &policy.Profile{Name: "p", Bindings: []policy.Binding{{Key: "k", Policy: policy.ParseID("shop/payments"), Base: base}}}
	roundTrip(t, p, EncodeProfile, (*Resource).Profile)
}

func TestEveryReportSurvivesTheTrip(t *testing.T) {
	for seed := range seeds {
		want := Report{Instance: seed * 3, Sequence: seed, Body: *randomOf[policy.Report](newRandom(seed))}
		m, err := reportRequestToProto(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := reportRequestFromProto(m)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, netipEqual); diff != "" {
			t.Fatalf("changed on the way (-sent +received):\n%s", diff)
		}
	}
}

// So does what is said about breakers and limits that nodes share.
func TestEverythingSharedSurvivesTheTrip(t *testing.T) {
	for seed := range uint64(500) {
		r := newRandom(seed)
		demands := randomOf[Demands](r)
		if demands.Demands == nil {
			demands.Demands = []Demand{}
		}
		back, err := messageFromProto(demandsToProto(*demands))
		if diff := cmp.Diff(FromAgent{Demands: demands}, back); err != nil || diff != "" {
			t.Fatalf("seed %d: error %v, demands changed:\n%s", seed, err, diff)
		}
		reports := []policy.BreakerReport{*randomOf[policy.BreakerReport](r), *randomOf[policy.BreakerReport](r)}
		m, err := breakerReportsToProto(reports)
		if err != nil {
			t.Fatal(err)
		}
		back, err = messageFromProto(m)
		if diff := cmp.Diff(FromAgent{Breakers: reports}, back); err != nil || diff != "" {
			t.Fatalf("seed %d: error %v, reports changed:\n%s", seed, err, diff)
		}
		grants := Update{Grants: &Grants{Sequence: seed, Grants: []Grant{*randomOf[Grant](r), *randomOf[Grant](r)}}}
		verdicts := Update{TakesBreakers: true, Breakers: []policy.BreakerVerdict{*randomOf[policy.BreakerVerdict](r), *randomOf[policy.BreakerVerdict](r)}}
		for _, u := range []Update{grants, verdicts} {
			got, err := updateFromProto(updateToProto(u))
			if diff := cmp.Diff(u, got); err != nil || diff != "" {
				t.Fatalf("seed %d: error %v, an update changed:\n%s", seed, err, diff)
			}
		}
	}
}

// The tables must know every constant: the count comes from the protocol, which has one more (unspecified).
func TestEnumTablesAreComplete(t *testing.T) {
	for name, tc := range map[string]struct{ have, want int }{
		"PolicyKind":    {len(policyKinds), len(pb.PolicyKind_name)},
		"Mode":          {len(modes), len(pb.Mode_name)},
		"TargetKind":    {len(targetKinds), len(pb.TargetKind_name)},
		"Protocol":      {len(protocols), len(pb.Protocol_name)},
		"PathMatch":     {len(pathMatches), len(pb.PathMatch_name)},
		"Condition":     {len(conditions), len(pb.Condition_name)},
		"Idempotency":   {len(idempotencies), len(pb.Idempotency_name)},
		"Strategy":      {len(strategies), len(pb.Strategy_name)},
		"Jitter":        {len(jitters), len(pb.Jitter_name)},
		"BreakerScope":  {len(breakerScopes), len(pb.BreakerScope_name)},
		"FaultAbort":    {len(faultAborts), len(pb.FaultAbort_name)},
		"Sharing":       {len(sharings), len(pb.Sharing_name)},
		"LoadBalancing": {len(loadBalancings), len(pb.LoadBalancing_name)},
		"AccessLog":     {len(accessLogs), len(pb.AccessLog_name)},
		"TLSMode":       {len(tlsModes), len(pb.TLSMode_name)},
		"ValueMatch":    {len(valueMatches), len(pb.ValueMatch_name)},
		"BreakerView":   {len(breakerViews), len(pb.BreakerView_name)},
		"BreakerOrder":  {len(breakerOrders), len(pb.BreakerOrder_name)},
		"ResourceKind":  {len(resourceKinds) - 1, len(pb.ResourceKind_name)},
		"Reason":        {len(reasons) - 1, len(pb.RejectionReason_name)},
		"Feature":       {bits.OnesCount64(uint64(AllFeatures())), len(pb.Feature_name)},
	} {
		if tc.have != tc.want-1 {
			t.Errorf("%s: %d values in the table, %d in the protocol", name, tc.have, tc.want-1)
		}
	}
}

func TestEncodingRefusesWhatCannotTravel(t *testing.T) {
	binding := func(change func(*policy.Binding)) *policy.Profile {
		b := policy.Binding{Base: policy.Defaults()}
		change(&b)
		return &policy.Profile{Name: "p", Bindings: []policy.Binding{b}}
	}
	for name, p := range map[string]*policy.Profile{
		"no name":          {},
		"long name":        {Name: strings.Repeat("x", MaxName+1)},
		"broken text":      {Name: "p\xff"},
		"unknown mode":     binding(func(b *policy.Binding) { b.Mode = 77 }),
		"invalid block":    binding(func(b *policy.Binding) { b.To.Except = make([]netip.Prefix, 1) }),
		"infinite factor":  binding(func(b *policy.Binding) { b.Base.Retry.Backoff.Multiplier = math.Inf(1) }),
		"number too large": binding(func(b *policy.Binding) { b.Base.Pool.MaxPending = math.MaxInt }),
		"unknown failure":  binding(func(b *policy.Binding) { b.Base.Retry.On = 1 << 15 }),
		"too many rules":   binding(func(b *policy.Binding) { b.Rules = make([]policy.Rule, maxRules+1) }),
		"too large":        binding(func(b *policy.Binding) { b.Key = strings.Repeat("x", MaxPayload) }),
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := EncodeProfile(p); !errors.Is(err, ErrMalformed) {
				t.Errorf("encoded as %v, error %v", r, err)
			}
		})
	}
	zoned := &policy.Destination{Name: "d", ClusterIPs: []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}}
	if _, err := EncodeDestination(zoned); !errors.Is(err, ErrMalformed) {
		t.Errorf("an address with a zone was encoded: %v", err)
	}
}

func TestDecodingRefusesWhatItDoesNotUnderstand(t *testing.T) {
	valid, err := profileToProto(&policy.Profile{Name: "p", Bindings: []policy.Binding{{Base: policy.Defaults()}}})
	if err != nil {
		t.Fatal(err)
	}
	type change func(*pb.Profile)
	future := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	for name, tc := range map[string]struct {
		change change
		want   error
	}{
		"unchanged":            {func(*pb.Profile) {}, nil},
		"other name":           {func(p *pb.Profile) { p.Name = "q" }, ErrMalformed},
		"future mode":          {func(p *pb.Profile) { p.Bindings[0].Mode = 99 }, ErrUnsupported},
		"missing mode":         {func(p *pb.Profile) { p.Bindings[0].Mode = 0 }, ErrUnsupported},
		"future condition":     {func(p *pb.Profile) { p.Bindings[0].Base.Retry.On[0] = 99 }, ErrUnsupported},
		"future field":         {func(p *pb.Profile) { p.ProtoReflect().SetUnknown(future) }, ErrUnsupported},
		"future field deep in": {func(p *pb.Profile) { p.Bindings[0].Base.Pool.ProtoReflect().SetUnknown(future) }, ErrUnsupported},
		"negative duration":    {func(p *pb.Profile) { p.Bindings[0].Base.Timeouts.Idle = -1 }, ErrMalformed},
		"negative count":       {func(p *pb.Profile) { p.Bindings[0].Base.Retry.MaxRetries = -1 }, ErrMalformed},
		"not a number":         {func(p *pb.Profile) { p.Bindings[0].Base.Retry.Backoff.Multiplier = math.NaN() }, ErrMalformed},
		"port too large":       {func(p *pb.Profile) { p.Bindings[0].To.Ports = []uint32{1 << 16} }, ErrMalformed},
		"short address":        {func(p *pb.Profile) { p.Bindings[0].To.Block = &pb.Prefix{Address: []byte{1}} }, ErrMalformed},
		"block too long":       {func(p *pb.Profile) { p.Bindings[0].To.Block = &pb.Prefix{Address: make([]byte, 4), Bits: 33} }, ErrMalformed},
		"no block":             {func(p *pb.Profile) { p.Bindings[0].To.Kind = pb.TargetKind_TARGET_KIND_CIDR }, ErrMalformed},
		"many bindings":        {func(p *pb.Profile) { p.Bindings = make([]*pb.Binding, maxBindings+1) }, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			m := proto.Clone(valid).(*pb.Profile)
			tc.change(m)
			payload, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			r := &Resource{Ref: Ref{Profile, "p"}, Payload: payload}
			p, err := r.Profile()
			if !errors.Is(err, tc.want) || (p != nil) != (tc.want == nil) {
				t.Errorf("got %v, error %v, want error %v", p, err, tc.want)
			}
		})
	}
}

func TestDecodingTheWrongKindIsAnError(t *testing.T) {
	r, err := EncodeWorkload(&policy.Workload{UID: "u"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Profile(); !errors.Is(err, ErrMalformed) {
		t.Errorf("a workload decoded as a profile: %v", err)
	}
}

func TestEnumSizesCoverEveryEnum(t *testing.T) {
	var walk func(reflect.Type)
	seen := map[reflect.Type]bool{}
	sizes := enumSizes()
	walk = func(ty reflect.Type) {
		if seen[ty] {
			return
		}
		seen[ty] = true
		switch ty.Kind() {
		case reflect.Struct:
			for i := range ty.NumField() {
				walk(ty.Field(i).Type)
			}
		case reflect.Slice, reflect.Pointer, reflect.Array:
			walk(ty.Elem())
		case reflect.Uint8:
			if _, ok := sizes[ty]; ty.PkgPath() != "" && strings.HasSuffix(ty.PkgPath(), "/policy") && !ok {
				t.Errorf("the random policies do not vary %s", ty)
			}
		}
	}
	walk(reflect.TypeFor[policy.Profile]())
	walk(reflect.TypeFor[policy.Report]())
	walk(reflect.TypeFor[policy.BreakerReport]())
	walk(reflect.TypeFor[policy.BreakerVerdict]())
}
