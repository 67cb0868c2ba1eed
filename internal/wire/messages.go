package wire

import (
	"errors"
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Update is a change, or a part of one; the rules are in proto/distribution.proto.
type Update struct {
	Nonce            uint64
	Set              []*Resource
	Removed          []Ref
	More             bool
	SnapshotComplete bool
	// Deltas lead to resources of Set from versions that the agent holds. They are for sending; a received resource has a Patch.
	Deltas map[Ref]*Delta
	// Breakers are verdicts, which come in updates of their own: Nonce is 0. TakesBreakers: the manager wants to hear how the node sees breakers that
	// the cluster shares; it is set in the same updates.
	Breakers      []policy.BreakerVerdict
	TakesBreakers bool
}

// Ack ends an update.
type Ack struct {
	Nonce      uint64
	Rejections []Rejection
}

// Reason classifies a rejection.
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
	// Held is the version that the agent holds now, zero for none. It counts only if HeldKnown: not every agent says.
	Held      Version
	HeldKnown bool
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

// FromAgent is what an agent says after its hello: one of the fields is set.
type FromAgent struct {
	Ack *Ack
	// Breakers are how the node sees breakers that the cluster shares.
	Breakers []policy.BreakerReport
}

func messageFromProto(m *pb.SubscribeRequest) (FromAgent, error) {
	switch {
	case m.GetAck() != nil:
		ack, err := ackFromProto(m)
		return FromAgent{Ack: &ack}, err
	case m.GetBreakers() != nil:
		reports, err := breakerReportsFromProto(m.GetBreakers())
		return FromAgent{Breakers: reports}, err
	}
	return FromAgent{}, fmt.Errorf("%w: neither an ack nor a report", ErrMalformed)
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
	m := &pb.Update{
		Nonce: u.Nonce, Set: each(u.Set, u.resourceToProto), Removed: each(u.Removed, refToProto),
		More: u.More, SnapshotComplete: u.SnapshotComplete,
	}
	if u.TakesBreakers {
		m.Breakers = breakerVerdictsToProto(u.Breakers)
	}
	return m
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
	if b := m.GetBreakers(); b != nil {
		var err error
		if u.Breakers, err = breakerVerdictsFromProto(b); err != nil {
			return Update{}, err
		}
		u.TakesBreakers = true
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
func Text(s string) string { return shortText(s, MaxText) }

func shortText(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}
