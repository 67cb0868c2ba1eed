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
}

// Update is a change, or a part of one; the rules are in proto/distribution.proto.
type Update struct {
	Nonce            uint64
	Set              []*Resource
	Removed          []Ref
	More             bool
	SnapshotComplete bool
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

// Rejection says why a resource was not applied.
type Rejection struct {
	Ref     Ref
	Reason  Reason
	Message string
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
	m := &pb.Hello{Node: h.Node, Held: make([]*pb.Held, 0, len(h.Held))}
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
	out := Hello{Node: h.GetNode(), Held: make(map[Ref]Version, len(h.GetHeld()))}
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
		return &pb.Rejection{Ref: refToProto(r.Ref), Reason: reason, Message: Text(r.Message)}
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
		rejection := Rejection{Ref: ref, Message: Text(r.GetMessage())}
		// A reason from a newer agent is still a rejection.
		if fromWire(reasons, r.GetReason(), &rejection.Reason) != nil || rejection.Reason == 0 {
			rejection.Reason = ReasonInternal
		}
		out.Rejections = append(out.Rejections, rejection)
	}
	return out, nil
}

func updateToProto(u Update) *pb.Update {
	return &pb.Update{
		Nonce: u.Nonce, Set: each(u.Set, resourceToProto), Removed: each(u.Removed, refToProto),
		More: u.More, SnapshotComplete: u.SnapshotComplete,
	}
}

func updateFromProto(m *pb.Update) (Update, error) {
	u := Update{Nonce: m.GetNonce(), More: m.GetMore(), SnapshotComplete: m.GetSnapshotComplete()}
	for _, r := range m.GetSet() {
		res, err := resourceFromProto(r)
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

// EncodeSaved encodes a set of resources for the agent's disk.
func EncodeSaved(resources []*Resource) ([]byte, error) {
	return proto.Marshal(&pb.SavedSet{Resources: each(resources, resourceToProto)})
}

// DecodeSaved reverses EncodeSaved.
func DecodeSaved(b []byte) ([]*Resource, error) {
	m := new(pb.SavedSet)
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("decode saved set: %w: %w", ErrMalformed, err)
	}
	if len(m.GetResources()) > MaxHeld {
		return nil, fmt.Errorf("decode saved set: %w: %d resources", ErrMalformed, len(m.GetResources()))
	}
	out := make([]*Resource, 0, len(m.GetResources()))
	for _, r := range m.GetResources() {
		res, err := resourceFromProto(r)
		if err != nil {
			return nil, fmt.Errorf("decode saved set: %w", err)
		}
		out = append(out, res)
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
