package wire

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

const versionOne = "testdata/version1.txt"

// partsOf lists the fields of messages, and the values of the enums in them, at any depth.
func partsOf(m protoreflect.MessageDescriptor, add func(string)) {
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		add(string(fd.FullName()))
		if e := fd.Enum(); e != nil {
			for j := range e.Values().Len() {
				add(fmt.Sprintf("%s=%d", fd.FullName(), e.Values().Get(j).Number()))
			}
		}
		if fd.Message() != nil {
			partsOf(fd.Message(), add)
		}
	}
}

// Whoever adds a field or an enum value to policy.proto must say which feature an agent needs to understand it.
func TestWhatWasAddedAfterVersion1BelongsToAFeature(t *testing.T) {
	data, err := os.ReadFile(versionOne)
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Fields(string(data))
	for _, q := range requirements {
		known = append(known, string(q.Field))
		if q.Value != 0 {
			known = append(known, fmt.Sprintf("%s=%d", q.Field, q.Value))
		}
		if !AllFeatures().Has(q.Feature) {
			t.Errorf("%s belongs to %s, which this build does not have", q.Field, q.Feature)
		}
	}
	slices.Sort(known)
	covered := func(part string) bool {
		_, found := slices.BinarySearch(known, part)
		field, _, isValue := strings.Cut(part, "=")
		// A value of a field that came later belongs to the field's feature.
		return found || isValue && slices.ContainsFunc(requirements, func(q Requirement) bool { return string(q.Field) == field && q.Value == 0 })
	}
	for _, m := range []proto.Message{new(pb.Workload), new(pb.Profile), new(pb.Destination)} {
		partsOf(m.ProtoReflect().Descriptor(), func(part string) {
			if !covered(part) && !withinLaterField(part) {
				t.Errorf("%s is not in version 1: add a row to requirements", part)
			}
		})
	}
}

// withinLaterField reports whether a part is of a message that only later fields hold: it belongs to their features.
func withinLaterField(part string) bool {
	message := part[:strings.LastIndex(part, ".")]
	later := func(q Requirement) bool {
		fd := fieldNamed(q.Field)
		return fd != nil && q.Value == 0 && fd.Message() != nil && holds(fd.Message(), message)
	}
	return slices.ContainsFunc(requirements, later)
}

// holds reports whether a message is the one of a name, or has one of it in it.
func holds(m protoreflect.MessageDescriptor, name string) bool {
	if string(m.FullName()) == name {
		return true
	}
	for i := range m.Fields().Len() {
		if in := m.Fields().Get(i).Message(); in != nil && holds(in, name) {
			return true
		}
	}
	return false
}

func fieldNamed(name protoreflect.FullName) protoreflect.FieldDescriptor {
	return pb.File_policy_proto.Messages().ByName(name.Parent().Name()).Fields().ByName(name.Name())
}

// Made-up features for the tests: fields of version 1 that some agents are taken not to understand.
const (
	knowsOverrides Feature = 60 + iota
	knowsLinear
	knowsReset
)

func withMadeUpFeatures() *Encoder {
	return NewEncoder([]Requirement{
		{Feature: knowsOverrides, Field: "fairlead.agent.v1.Retry.overrides"},
		{
			Feature: knowsLinear, Field: "fairlead.agent.v1.Backoff.strategy",
			Value: pb.Strategy_STRATEGY_LINEAR.Number(), Instead: pb.Strategy_STRATEGY_FIXED.Number(),
		},
		{Feature: knowsReset, Field: "fairlead.agent.v1.Retry.on", Value: pb.Condition_CONDITION_RESET.Number()},
	})
}

// demanding is a profile that needs all made-up features, in the base and in a rule.
func demanding() *policy.Profile {
	s := policy.Defaults()
	s.Retry.On = policy.Of(policy.ConnectFailure, policy.Reset)
	s.Retry.Backoff.Strategy = policy.Linear
	s.Retry.Overrides = []policy.RetryOverride{{On: policy.Of(policy.RateLimited), MaxRetries: 1, Backoff: policy.DefaultBackoff()}}
	return &policy.Profile{Name: "p", Bindings: []policy.Binding{{
		Key: "k", Policy: policy.ParseID("shop/p"), Base: s, Rules: []policy.Rule{{Name: "r", Settings: s}},
	}}}
}

func encoded(t *testing.T, p *policy.Profile) *Resource {
	t.Helper()
	r, err := withMadeUpFeatures().Profile(p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAResourceKnowsWhichFeaturesItNeeds(t *testing.T) {
	all := FeaturesOf(knowsOverrides, knowsLinear, knowsReset)
	if got := encoded(t, demanding()).Needs(); got != all {
		t.Errorf("needs %b, want %b", got, all)
	}
	plain := &policy.Profile{Name: "p", Bindings: []policy.Binding{{Key: "k", Policy: policy.ParseID("shop/p"), Base: policy.Defaults()}}}
	if got := encoded(t, plain).Needs(); got != 0 {
		t.Errorf("a profile without any of it needs %b", got)
	}
	if r, err := EncodeProfile(demanding()); err != nil || r.Needs() != 0 {
		t.Errorf("with the requirements of this build: needs %b, %v", r.Needs(), err)
	}
}

func TestAnAgentIsSentTheFormThatItUnderstands(t *testing.T) {
	r := encoded(t, demanding())
	for name, tc := range map[string]struct {
		understood Features
		change     func(*policy.Settings)
	}{
		"everything":         {FeaturesOf(knowsOverrides, knowsLinear, knowsReset), func(*policy.Settings) {}},
		"more than needed":   {^Features(0), func(*policy.Settings) {}},
		"no overrides":       {FeaturesOf(knowsLinear, knowsReset), func(s *policy.Settings) { s.Retry.Overrides = nil }},
		"not this value":     {FeaturesOf(knowsOverrides, knowsReset), func(s *policy.Settings) { s.Retry.Backoff.Strategy = policy.Fixed }},
		"not this of a list": {FeaturesOf(knowsOverrides, knowsLinear), func(s *policy.Settings) { s.Retry.On = policy.Of(policy.ConnectFailure) }},
		"nothing": {0, func(s *policy.Settings) {
			s.Retry.Overrides, s.Retry.Backoff.Strategy, s.Retry.On = nil, policy.Fixed, policy.Of(policy.ConnectFailure)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := demanding()
			tc.change(&want.Bindings[0].Base)
			tc.change(&want.Bindings[0].Rules[0].Settings)
			whole := encoded(t, want)
			form := r.For(tc.understood)
			if form.Version != whole.Version {
				got, err := form.Profile()
				t.Fatalf("got %+v, %v", got, err)
			}
			if again := r.For(tc.understood); again != form {
				t.Error("the form was made twice")
			}
			if form.LeftOut(tc.understood) != 0 {
				t.Errorf("the form needs %b still", form.LeftOut(tc.understood))
			}
			if missing := r.LeftOut(tc.understood); missing != r.Needs()&^tc.understood {
				t.Errorf("left out %b", missing)
			}
		})
	}
}

func TestARequirementOfAFieldThatDoesNotExistIsNoticed(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("accepted")
		}
	}()
	NewEncoder([]Requirement{{Feature: 1, Field: "fairlead.agent.v1.Retry.nothing"}})
}

func TestFeaturesTravelAndUnknownOnesAreIgnored(t *testing.T) {
	for f := range AllFeatures().All() {
		if strings.Contains(f.String(), " ") {
			t.Errorf("%s has no name", f)
		}
	}
	m := helloToProto(Hello{Node: "n", Features: AllFeatures(), Version: strings.Repeat("v", 100)})
	m.GetHello().Features = append(m.GetHello().Features, 0, 99)
	h, err := helloFromProto(m)
	if err != nil || h.Features != AllFeatures() || h.Version != strings.Repeat("v", maxVersionText) {
		t.Errorf("got %+v, %v", h, err)
	}
	m.GetHello().Features = make([]pb.Feature, maxFeatures+1)
	if _, err := helloFromProto(m); err == nil {
		t.Error("accepted any number of features")
	}
}

// An agent that knows no matches of gRPC calls gets one that no request's path fits.
func TestRulesForGRPCAreNotFollowedByOlderAgents(t *testing.T) {
	p := &policy.Profile{Name: "p", Bindings: []policy.Binding{{
		Key: "k", Policy: policy.ParseID("shop/p"), Base: policy.Defaults(), Rules: []policy.Rule{{
			Name: "r", Settings: policy.Defaults(), Match: []policy.RequestMatch{{PathType: policy.PathGRPC, Path: "*/Get"}, {PathType: policy.PathExact, Path: "/x"}},
		}},
	}}}
	r, err := EncodeProfile(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Needs(); got != FeaturesOf(FeatureGRPCMatches) {
		t.Errorf("needs %b", got)
	}
	older, err := r.For(0).Profile()
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.RequestMatch{{PathType: policy.PathExact, Path: "*/Get"}, {PathType: policy.PathExact, Path: "/x"}}
	if got := older.Bindings[0].Rules[0].Match; !slices.EqualFunc(got, want, func(a, b policy.RequestMatch) bool { return a.PathType == b.PathType && a.Path == b.Path }) {
		t.Errorf("it gets %+v", got)
	}
}

// An agent that knows no header fields and hosts in matches gets, in place of a match that has them, one that no request fits: what is left of it
// would fit more.
func TestMatchesAreNotFollowedByOlderAgentsMoreBroadly(t *testing.T) {
	byHeader := policy.RequestHeader{Name: "x", Type: policy.ValueExact, Value: "y"}
	for name, m := range map[string]policy.RequestMatch{
		"a header alone":       {Headers: []policy.RequestHeader{byHeader}},
		"a header and a path":  {PathType: policy.PathExact, Path: "/a", Headers: []policy.RequestHeader{byHeader}},
		"a header and methods": {Methods: []string{"GET"}, Headers: []policy.RequestHeader{byHeader}},
		"a host":               {Host: "a.example", PathType: policy.PathRegularExpression, Path: "/.*"},
		"a host and gRPC":      {Host: "a.example", PathType: policy.PathGRPC, Path: "a/*"},
		"a host and a header":  {Host: "*.example", PathType: policy.PathPrefix, Path: "/", Headers: []policy.RequestHeader{byHeader}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &policy.Profile{Name: "p", Bindings: []policy.Binding{{
				Key: "k", Policy: policy.ParseID("shop/p"), Base: policy.Defaults(), Rules: []policy.Rule{{
					Name: "r", Settings: policy.Defaults(), Match: []policy.RequestMatch{m, {PathType: policy.PathExact, Path: "/x"}},
				}},
			}}}
			r, err := EncodeProfile(p)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Needs().Has(FeatureMatches) {
				t.Errorf("needs %b", r.Needs())
			}
			older, err := r.For(0).Profile()
			if err != nil {
				t.Fatal(err)
			}
			got := older.Bindings[0].Rules[0].Match
			if never := got[0]; never.PathType != policy.PathExact || never.Path != "" || never.Host != "" || never.Headers != nil {
				t.Errorf("it gets %+v", never)
			}
			if got[1].Path != "/x" || got[1].PathType != policy.PathExact {
				t.Errorf("the other match has become %+v", got[1])
			}
		})
	}
}
