package wire

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Requirement ties a field of compiled policy, or one value of an enum field, to the feature that an agent must have to understand it.
//
// To an agent without the feature the field is not sent, as if the policy did not set it. Where a requirement is for an enum value, Instead is
// sent in its place, or, in a list, nothing.
type Requirement struct {
	Feature Feature
	// Field is the field's full name in policy.proto, such as "fairlead.agent.v1.Retry.overrides".
	Field protoreflect.FullName
	// Value limits the requirement to one value of an enum field. Zero: the field as such.
	Value, Instead protoreflect.EnumNumber
	// Then changes the message that the field was left out of, where what is left would mean something else; nil: it does not.
	Then func(protoreflect.Message)
}

// requirements lists every field and enum value that was added to policy.proto after version 1; a test sees to that. It is never written to.
var requirements = []Requirement{
	{Feature: FeatureTLS, Field: "fairlead.agent.v1.Target.tls"},
	{Feature: FeatureTLS, Field: "fairlead.agent.v1.Timeouts.tls_handshake"},
	{Feature: FeatureVia, Field: "fairlead.agent.v1.Target.via"},
	{Feature: FeatureAdaptive, Field: "fairlead.agent.v1.Timeouts.adaptive"},
	{Feature: FeatureAdaptive, Field: "fairlead.agent.v1.Rule.own_adaptive"},
	{Feature: FeatureHedging, Field: "fairlead.agent.v1.Retry.hedging"},
	{Feature: FeatureHedging, Field: "fairlead.agent.v1.Rule.own_hedging"},
	{Feature: FeatureFallback, Field: "fairlead.agent.v1.Settings.fallback"},
	{Feature: FeatureFallback, Field: "fairlead.agent.v1.Fallback.response"},
	{Feature: FeatureFallbackDestination, Field: "fairlead.agent.v1.Fallback.destination"},
	{Feature: FeatureQUIC, Field: "fairlead.agent.v1.Binding.reject_quic"},
	{Feature: FeatureHTTP2, Field: "fairlead.agent.v1.Pool.max_streams"},
	{Feature: FeatureHTTP2, Field: "fairlead.agent.v1.Pool.ping_interval"},
	{Feature: FeatureHTTP2, Field: "fairlead.agent.v1.Pool.ping_timeout"},
	{Feature: FeatureRateLimit, Field: "fairlead.agent.v1.Settings.rate_limit"},
	{Feature: FeatureRateLimit, Field: "fairlead.agent.v1.Rule.own_rate_limit"},
	{
		Feature: FeatureClusterLimits, Field: "fairlead.agent.v1.RateLimit.scope",
		Value: pb.Sharing_SHARING_CLUSTER.Number(), Instead: pb.Sharing_SHARING_NODE.Number(),
	},
	{Feature: FeatureClusterLimits, Field: "fairlead.agent.v1.RateLimit.shared"},
	{Feature: FeatureConcurrency, Field: "fairlead.agent.v1.Settings.concurrency"},
	{Feature: FeatureConcurrency, Field: "fairlead.agent.v1.Rule.own_concurrency"},
	{Feature: FeatureDryRun, Field: "fairlead.agent.v1.Binding.unchanged"},
	{ // no agent enforces either, whatever it knows
		Feature: FeatureDryRun, Field: "fairlead.agent.v1.Binding.mode",
		Value: pb.Mode_MODE_DRY_RUN.Number(), Instead: pb.Mode_MODE_DISABLED.Number(),
	},
	{Feature: FeatureAlreadyRetried, Field: "fairlead.agent.v1.Retry.skip_retried"},
	{Feature: FeatureAlreadyRetried, Field: "fairlead.agent.v1.Settings.attempt_header"},
	{Feature: FeatureTracing, Field: "fairlead.agent.v1.Settings.tracing"},
	{Feature: FeatureMatches, Field: "fairlead.agent.v1.RequestMatch.headers", Then: fitNothing},
	{Feature: FeatureMatches, Field: "fairlead.agent.v1.RequestMatch.host", Then: fitNothing},
	{Feature: FeatureFaults, Field: "fairlead.agent.v1.Settings.faults"},
	{Feature: FeatureForcedBreakers, Field: "fairlead.agent.v1.Binding.forced_breaker"},
	{Feature: FeatureOwners, Field: "fairlead.agent.v1.Workload.owner"},
	{
		Feature: FeatureClusterBreakers, Field: "fairlead.agent.v1.Breaker.sharing",
		Value: pb.Sharing_SHARING_CLUSTER.Number(), Instead: pb.Sharing_SHARING_NODE.Number(),
	},
	{
		Feature: FeatureGRPCMatches, Field: "fairlead.agent.v1.RequestMatch.path_type",
		Value: pb.PathMatch_PATH_MATCH_GRPC.Number(), Instead: pb.PathMatch_PATH_MATCH_EXACT.Number(),
	},
	{ // which older agents read as Destination
		Feature: FeatureEndpointBreakers, Field: "fairlead.agent.v1.Breaker.scope",
		Value: pb.BreakerScope_BREAKER_SCOPE_ENDPOINT.Number(), Instead: pb.BreakerScope_BREAKER_SCOPE_DESTINATION.Number(),
	},
}

// fitNothing has a RequestMatch fit no request: none has an empty path. What was left out would have narrowed it.
func fitNothing(m protoreflect.Message) {
	match := m.Interface().(*pb.RequestMatch)
	match.PathType, match.Path = pb.PathMatch_PATH_MATCH_EXACT, ""
}

// standard encodes with the requirements of this build.
var standard = NewEncoder(requirements)

// StandardEncoder returns the encoder with the requirements of this build.
func StandardEncoder() *Encoder { return standard }

// Encoder encodes compiled policy, and knows which features its fields need.
type Encoder struct {
	// immutable after NewEncoder
	byField  map[protoreflect.FullName][]Requirement
	concerns map[protoreflect.FullName]bool // messages that have such a field, themselves or in a message within them
}

// NewEncoder returns an encoder with the given requirements. It panics if one names a field that does not exist.
func NewEncoder(list []Requirement) *Encoder {
	e := &Encoder{byField: map[protoreflect.FullName][]Requirement{}, concerns: map[protoreflect.FullName]bool{}}
	known := map[protoreflect.FullName]bool{}
	for _, q := range list {
		e.byField[q.Field] = append(e.byField[q.Field], q)
	}
	for k := Workload; k <= lastKind; k++ {
		e.visit(k.message().ProtoReflect().Descriptor(), known)
	}
	for field := range e.byField {
		if !known[field] {
			panic(fmt.Sprintf("wire: a requirement names %s, which is no field of compiled policy", field))
		}
	}
	return e
}

// visit notes whether requirements concern a message, and collects the names of all fields in it. The messages do not contain themselves.
func (e *Encoder) visit(m protoreflect.MessageDescriptor, known map[protoreflect.FullName]bool) bool {
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		known[fd.FullName()] = true
		within := fd.Message() != nil && e.visit(fd.Message(), known)
		e.concerns[m.FullName()] = e.concerns[m.FullName()] || within || len(e.byField[fd.FullName()]) > 0
	}
	return e.concerns[m.FullName()]
}

// encode returns the resource with the payload of m, and what it needs. It marshals deterministically: the messages have no maps, so equal
// values give equal bytes.
func (e *Encoder) encode(ref Ref, m proto.Message) (*Resource, error) {
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w: %w", ref, ErrMalformed, err)
	}
	r, err := NewResource(ref, payload)
	if err != nil {
		return nil, err
	}
	r.encoder = e
	if f := ref.Kind.Feature(); f != 0 {
		r.needs |= 1 << f
	}
	e.each(m.ProtoReflect(), func(q Requirement, _ func()) { r.needs |= 1 << q.Feature })
	return r, nil
}

// reduce returns r without what belongs to the features.
func (e *Encoder) reduce(r *Resource, without Features) (*Resource, error) {
	m := r.Ref.Kind.message()
	if err := proto.Unmarshal(r.Payload, m); err != nil {
		return nil, fmt.Errorf("reduce %s: %w: %w", r.Ref, ErrMalformed, err)
	}
	e.each(m.ProtoReflect(), func(q Requirement, leaveOut func()) {
		if without.Has(q.Feature) {
			leaveOut()
		}
	})
	return e.encode(r.Ref, m)
}

// message returns an empty message of the kind's type.
func (k Kind) message() proto.Message {
	switch k {
	case Workload:
		return new(pb.Workload)
	case Profile:
		return new(pb.Profile)
	case Destination:
		return new(pb.Destination)
	case Roots:
		return new(pb.Roots)
	case KeyPair:
		return new(pb.KeyPair)
	case Credentials:
		return new(pb.Credentials)
	}
	panic("wire: a resource of no kind") // NewResource refuses it
}

// each calls f with every requirement that m meets, at any depth, and with what leaves its field or value out.
func (e *Encoder) each(m protoreflect.Message, f func(q Requirement, leaveOut func())) {
	if !e.concerns[m.Descriptor().FullName()] {
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		for _, q := range e.byField[fd.FullName()] {
			if q.Value == 0 {
				f(q, func() { q.leaveOut(m, fd) })
			} else if has(fd, v, q.Value) {
				f(q, func() { replaceValue(m, fd, q) })
			}
		}
		switch {
		case fd.Message() == nil || !m.Has(fd):
		case fd.IsList():
			list := m.Get(fd).List()
			for i := range list.Len() {
				e.each(list.Get(i).Message(), f)
			}
		default:
			e.each(m.Get(fd).Message(), f)
		}
		return true
	})
}

// leaveOut takes the field out of m.
func (q *Requirement) leaveOut(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	m.Clear(fd)
	if q.Then != nil {
		q.Then(m)
	}
}

// has reports whether an enum field, or a list of enums, has the value n.
func has(fd protoreflect.FieldDescriptor, v protoreflect.Value, n protoreflect.EnumNumber) bool {
	if !fd.IsList() {
		return v.Enum() == n
	}
	for i := range v.List().Len() {
		if v.List().Get(i).Enum() == n {
			return true
		}
	}
	return false
}

// replaceValue puts Instead in the place of Value; from a list it takes Value out.
func replaceValue(m protoreflect.Message, fd protoreflect.FieldDescriptor, q Requirement) {
	if !fd.IsList() {
		m.Set(fd, protoreflect.ValueOfEnum(q.Instead))
		return
	}
	list := m.Mutable(fd).List()
	var left []protoreflect.Value
	for i := range list.Len() {
		left = append(left, list.Get(i))
	}
	list.Truncate(0)
	for _, v := range slices.DeleteFunc(left, func(v protoreflect.Value) bool { return v.Enum() == q.Value }) {
		list.Append(v)
	}
}
