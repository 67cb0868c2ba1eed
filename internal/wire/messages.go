package wire

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Hello opens a subscription: the node the agent believes in, and what it holds.
type Hello struct {
	Node string
	Held map[Ref]Version
	// Patches says that the agent understands patches.
	Patches bool
}

// Update is a change, or a part of one; the rules are in proto/distribution.proto.
type Update struct {
	Nonce            uint64
	Set              []*Resource
	Removed          []Ref
	More             bool
	SnapshotComplete bool
	// Deltas are ways to resources of Set from versions that the agent holds. They are for sending; a received resource has a Patch.
	Deltas map[Ref]*Delta
}

// Ack ends an update.
type Ack struct {
	Nonce      uint64
	Rejections []Rejection
}

// Reason is the machine's word for a rejection.
type Reason uint8

// The reasons.
const (
	// ReasonMalformed: the payload is damaged or breaks a bound.
	ReasonMalformed Reason = iota + 1
	// ReasonUnsupported: the agent is older than the manager and does not know something in it.
	ReasonUnsupported
	// ReasonInvalid: the agent understood it and refuses it.
	ReasonInvalid
	// ReasonResources: the agent lacks memory, files or another resource to apply it.
	ReasonResources
	// ReasonInternal: the agent failed to apply it.
	ReasonInternal
)

// String returns the reason as conditions and metrics show it.
func (r Reason) String() string {
	switch r {
	case ReasonMalformed:
		return "Malformed"
	case ReasonUnsupported:
		return "Unsupported"
	case ReasonInvalid:
		return "Invalid"
	case ReasonResources:
		return "Resources"
	case ReasonInternal:
		return "Internal"
	}
	return "Unknown"
}

// ReasonOf returns the reason that fits a decoding error.
func ReasonOf(err error) Reason {
	switch {
	case errors.Is(err, ErrUnsupported):
		return ReasonUnsupported
	case errors.Is(err, ErrMalformed):
		return ReasonMalformed
	}
	return ReasonInternal
}

// Rejection says why a resource was not applied, and what the agent holds instead.
type Rejection struct {
	Ref     Ref
	Reason  Reason
	Message string
	// Held is the version that the agent holds now, zero for none. It counts only if Told: older agents do not say.
	Held Version
	HeldKnown bool
}

// Report is one report of an agent with its place in the agent's sequence.
type Report struct {
	// Instance tells apart the processes that were an agent one after the other; zero from agents that do not say.
	Instance, Sequence uint64
	// Age is how long before sending the report was drawn up.
	Age  time.Duration
	Body policy.Report
}

func refToProto(r Ref) *pb.ResourceRef {
	return &pb.ResourceRef{Kind: resourceKinds[r.Kind], Name: r.Name}
}

func refFromProto(m *pb.ResourceRef) (Ref, error) {
	r := Ref{Name: m.GetName()}
	if err := fromWire(resourceKinds, m.GetKind(), &r.Kind); err != nil {
		return Ref{}, err
	}
	if r.Kind == 0 || r.Name == "" || len(r.Name) > MaxName {
		return Ref{}, fmt.Errorf("%w: reference of kind %d with a name of %d bytes", ErrMalformed, r.Kind, len(r.Name))
	}
	return r, nil
}

func helloToProto(h Hello) *pb.SubscribeRequest {
	m := &pb.Hello{Node: h.Node, Patches: h.Patches, Held: make([]*pb.Held, 0, len(h.Held))}
	for _, ref := range slices.SortedFunc(maps.Keys(h.Held), Ref.Compare) {
		v := h.Held[ref]
		m.Held = append(m.Held, &pb.Held{Ref: refToProto(ref), Version: v[:]})
	}
	return &pb.SubscribeRequest{Message: &pb.SubscribeRequest_Hello{Hello: m}}
}

func helloFromProto(m *pb.SubscribeRequest) (Hello, error) {
	h := m.GetHello()
	if h == nil {
		return Hello{}, fmt.Errorf("%w: the first message is not a hello", ErrMalformed)
	}
	if len(h.GetHeld()) > MaxHeld {
		return Hello{}, fmt.Errorf("%w: %d resources held, at most %d", ErrMalformed, len(h.GetHeld()), MaxHeld)
	}
	out := Hello{Node: h.GetNode(), Patches: h.GetPatches(), Held: make(map[Ref]Version, len(h.GetHeld()))}
	for _, held := range h.GetHeld() {
		ref, err := refFromProto(held.GetRef())
		if err != nil {
			return Hello{}, err
		}
		if len(held.GetVersion()) != VersionSize {
			return Hello{}, fmt.Errorf("%w: version of %d bytes", ErrMalformed, len(held.GetVersion()))
		}
		out.Held[ref] = Version(held.GetVersion())
	}
	return out, nil
}

func ackToProto(a Ack) *pb.SubscribeRequest {
	m := &pb.Ack{Nonce: a.Nonce, Rejections: each(a.Rejections, func(r Rejection) *pb.Rejection {
		reason, err := toWire(reasons, r.Reason)
		if err != nil {
			reason = pb.RejectionReason_REJECTION_REASON_INTERNAL
		}
		return &pb.Rejection{Ref: refToProto(r.Ref), Reason: reason, Message: Text(r.Message), Held: heldToProto(r)}
	})}
	return &pb.SubscribeRequest{Message: &pb.SubscribeRequest_Ack{Ack: m}}
}

func ackFromProto(m *pb.SubscribeRequest) (Ack, error) {
	a := m.GetAck()
	if a == nil {
		return Ack{}, fmt.Errorf("%w: not an ack", ErrMalformed)
	}
	if len(a.GetRejections()) > MaxHeld {
		return Ack{}, fmt.Errorf("%w: %d rejections", ErrMalformed, len(a.GetRejections()))
	}
	out := Ack{Nonce: a.GetNonce()}
	for _, r := range a.GetRejections() {
		ref, err := refFromProto(r.GetRef())
		if err != nil {
			return Ack{}, err
		}
		rejection := Rejection{Ref: ref, Message: Text(r.GetMessage()), HeldKnown: r.Held != nil}
		switch len(r.GetHeld()) {
		case 0:
		case VersionSize:
			rejection.Held = Version(r.GetHeld())
		default:
			return Ack{}, fmt.Errorf("%w: version of %d bytes", ErrMalformed, len(r.GetHeld()))
		}
		// A reason from a newer agent is still a rejection.
		if fromWire(reasons, r.GetReason(), &rejection.Reason) != nil || rejection.Reason == 0 {
			rejection.Reason = ReasonInternal
		}
		out.Rejections = append(out.Rejections, rejection)
	}
	return out, nil
}

// heldToProto returns what the message says is held: absent if r does not tell, empty for nothing.
func heldToProto(r Rejection) []byte {
	switch {
	case !r.HeldKnown:
		return nil
	case r.Held == Version{}:
		return []byte{}
	}
	return r.Held[:]
}

func updateToProto(u Update) *pb.Update {
	return &pb.Update{
		Nonce: u.Nonce, Set: each(u.Set, u.resourceToProto), Removed: each(u.Removed, refToProto),
		More: u.More, SnapshotComplete: u.SnapshotComplete,
	}
}

func updateFromProto(m *pb.Update) (Update, error) {
	u := Update{Nonce: m.GetNonce(), More: m.GetMore(), SnapshotComplete: m.GetSnapshotComplete()}
	for _, r := range m.GetSet() {
		res, err := updatedFromProto(r)
		if err != nil {
			return Update{}, err
		}
		u.Set = append(u.Set, res)
	}
	for _, r := range m.GetRemoved() {
		ref, err := refFromProto(r)
		if err != nil {
			return Update{}, err
		}
		u.Removed = append(u.Removed, ref)
	}
	return u, nil
}

// resourceToProto returns r whole, or as a patch of what the agent holds if that is much smaller.
func (u *Update) resourceToProto(r *Resource) *pb.Resource {
	d := u.Deltas[r.Ref]
	if d == nil || d.Patch() == nil {
		return resourceToProto(r)
	}
	p := d.Patch()
	return &pb.Resource{Ref: refToProto(r.Ref), Version: r.Version[:], Patch: &pb.Patch{
		Base: p.Base[:], Pieces: each(p.Pieces, func(s Piece) *pb.Piece { return &pb.Piece{Offset: s.Offset, Length: s.Length, Insert: s.Insert} }),
	}}
}

// updatedFromProto returns a resource of an update, which may be a patch.
func updatedFromProto(m *pb.Resource) (*Resource, error) {
	p := m.GetPatch()
	if p == nil {
		return resourceFromProto(m)
	}
	ref, err := refFromProto(m.GetRef())
	if err != nil {
		return nil, err
	}
	if len(m.GetVersion()) != VersionSize || len(p.GetBase()) != VersionSize || len(p.GetPieces()) > maxPieces || len(m.GetPayload()) > 0 {
		return nil, fmt.Errorf("%w: %s is no patch", ErrMalformed, ref)
	}
	return &Resource{Ref: ref, Version: Version(m.GetVersion()), Patch: &Patch{
		Base: Version(p.GetBase()),
		Pieces: each(p.GetPieces(), func(s *pb.Piece) Piece {
			return Piece{Offset: s.GetOffset(), Length: s.GetLength(), Insert: s.GetInsert()}
		}),
	}}, nil
}

func resourceToProto(r *Resource) *pb.Resource {
	return &pb.Resource{Ref: refToProto(r.Ref), Version: r.Version[:], Payload: r.Payload}
}

// resourceFromProto checks that the version is the payload's: a damaged resource is noticed before it is applied.
func resourceFromProto(m *pb.Resource) (*Resource, error) {
	ref, err := refFromProto(m.GetRef())
	if err != nil {
		return nil, err
	}
	r, err := NewResource(ref, m.GetPayload())
	if err != nil {
		return nil, err
	}
	if string(m.GetVersion()) != string(r.Version[:]) {
		return nil, fmt.Errorf("%w: %s has not the content its version names", ErrMalformed, ref)
	}
	return r, nil
}

// Text makes s fit for a message: valid UTF-8, at most MaxText bytes.
func Text(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
	}
	return strings.ToValidUTF8(s, "")
}

// Saved is a set of resources as an agent keeps it on disk.
type Saved struct {
	Resources []*Resource
	// Generations are those of the resources, in the same order.
	Generations []uint64
}

// EncodeSaved encodes a set of resources for the agent's disk.
func EncodeSaved(s Saved) ([]byte, error) {
	return proto.Marshal(&pb.SavedSet{Resources: each(s.Resources, resourceToProto), Generations: s.Generations})
}

// DecodeSaved reverses EncodeSaved. A set without generations gets zeros.
func DecodeSaved(b []byte) (Saved, error) {
	m := new(pb.SavedSet)
	if err := proto.Unmarshal(b, m); err != nil {
		return Saved{}, fmt.Errorf("decode saved set: %w: %w", ErrMalformed, err)
	}
	n := len(m.GetResources())
	if n > MaxHeld {
		return Saved{}, fmt.Errorf("decode saved set: %w: %d resources", ErrMalformed, n)
	}
	out := Saved{Resources: make([]*Resource, 0, n), Generations: m.GetGenerations()}
	if len(out.Generations) == 0 {
		out.Generations = make([]uint64, n)
	}
	if len(out.Generations) != n {
		return Saved{}, fmt.Errorf("decode saved set: %w: %d generations of %d resources", ErrMalformed, len(out.Generations), n)
	}
	for _, r := range m.GetResources() {
		res, err := resourceFromProto(r)
		if err != nil {
			return Saved{}, fmt.Errorf("decode saved set: %w", err)
		}
		out.Resources = append(out.Resources, res)
	}
	return out, nil
}

func reportRequestToProto(r Report) (*pb.ReportRequest, error) {
	body, err := reportToProto(&r.Body)
	if err != nil {
		return nil, err
	}
	return &pb.ReportRequest{Instance: r.Instance, Sequence: r.Sequence, Age: durationpb.New(r.Age), Report: body}, nil
}

func reportRequestFromProto(m *pb.ReportRequest) (Report, error) {
	body, err := reportFromProto(m.GetReport())
	if err != nil {
		return Report{}, err
	}
	return Report{Instance: m.GetInstance(), Sequence: m.GetSequence(), Age: max(m.GetAge().AsDuration(), 0), Body: *body}, nil
}

// Fits says whether h can be sent.
func (h Hello) Fits() bool {
	const perResource = VersionSize + 16 // the version and the framing
	size := 0
	for ref := range h.Held {
		size += len(ref.Name) + perResource
	}
	return len(h.Held) <= MaxHeld && size < MaxMessage/4*3
}
