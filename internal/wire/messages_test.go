package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

func workloads(t *testing.T, n int) []*Resource {
	t.Helper()
	out := make([]*Resource, n)
	for i := range out {
		r, err := EncodeWorkload(&policy.Workload{UID: fmt.Sprintf("uid-%d", i), Profile: strings.Repeat("p", 400)})
		if err != nil {
			t.Fatal(err)
		}
		out[i] = r
	}
	return out
}

func TestAnUpdateIsSplitIntoPartsThatFit(t *testing.T) {
	large, err := EncodeWorkload(&policy.Workload{UID: "large", Name: strings.Repeat("x", MaxPayload-100)})
	if err != nil {
		t.Fatal(err)
	}
	removed := make([]Ref, 5000)
	for i := range removed {
		removed[i] = Ref{Profile, fmt.Sprintf("%0500d", i)}
	}
	for name, u := range map[string]Update{
		"empty":   {Nonce: 1, SnapshotComplete: true},
		"small":   {Nonce: 2, Set: workloads(t, 3), Removed: removed[:2]},
		"many":    {Nonce: 3, Set: workloads(t, 10_000), Removed: removed, SnapshotComplete: true},
		"large":   {Nonce: 4, Set: []*Resource{large, large, large}, Removed: removed},
		"removal": {Nonce: 5, Removed: removed},
	} {
		t.Run(name, func(t *testing.T) {
			parts := u.Split()
			got := Update{Nonce: u.Nonce}
			for i, p := range parts {
				if size := proto.Size(updateToProto(p)); size > MaxMessage {
					t.Errorf("part %d has %d bytes", i, size)
				}
				last := i == len(parts)-1
				if p.Nonce != u.Nonce || p.More == last || p.SnapshotComplete && !last {
					t.Errorf("part %d of %d: nonce %d, more %v, complete %v", i, len(parts), p.Nonce, p.More, p.SnapshotComplete)
				}
				got.Set, got.Removed = append(got.Set, p.Set...), append(got.Removed, p.Removed...)
				got.SnapshotComplete = p.SnapshotComplete
			}
			if !reflect.DeepEqual(u, got) {
				t.Error("the parts are not the whole")
			}
		})
	}
}

func TestAResourceMustHaveTheContentItsVersionNames(t *testing.T) {
	m := resourceToProto(workloads(t, 1)[0])
	if _, err := resourceFromProto(m); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*pb.Resource){
		"payload changed": func(m *pb.Resource) { m.Payload[0] ^= 1 },
		"version changed": func(m *pb.Resource) { m.Version[0] ^= 1 },
		"no version":      func(m *pb.Resource) { m.Version = nil },
		"no name":         func(m *pb.Resource) { m.Ref.Name = "" },
		"no kind":         func(m *pb.Resource) { m.Ref.Kind = 0 },
		"no reference":    func(m *pb.Resource) { m.Ref = nil },
	} {
		t.Run(name, func(t *testing.T) {
			m := proto.Clone(m).(*pb.Resource)
			change(m)
			if r, err := resourceFromProto(m); err == nil {
				t.Errorf("accepted %v", r.Ref)
			}
		})
	}
}

func TestAHelloIsBounded(t *testing.T) {
	m := &pb.Hello{Held: make([]*pb.Held, MaxHeld+1)}
	_, err := helloFromProto(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Hello{Hello: m}})
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("accepted %d held resources: %v", len(m.Held), err)
	}
	if _, err := helloFromProto(ackToProto(Ack{Nonce: 1})); !errors.Is(err, ErrMalformed) {
		t.Errorf("accepted an ack as hello: %v", err)
	}
	if _, err := ackFromProto(helloToProto(Hello{Node: "n"})); !errors.Is(err, ErrMalformed) {
		t.Errorf("accepted a hello as ack: %v", err)
	}
}

func TestAHelloThatFitsIsSmallEnough(t *testing.T) {
	h := Hello{Node: "node", Held: map[Ref]Version{}}
	for i := 0; h.Fits(); i++ {
		for j := range 500 {
			h.Held[Ref{Destination, fmt.Sprintf("%0*d", MaxName, 500*i+j)}] = Version{}
		}
	}
	if size := proto.Size(helloToProto(h)); size > MaxMessage {
		t.Errorf("the first hello that does not fit has %d bytes already", size)
	}
}

func TestTextIsBoundedAndValid(t *testing.T) {
	for _, s := range []string{"", "plain", strings.Repeat("ö", MaxText), "\xff\xfe", strings.Repeat("x", 5000)} {
		if got := Text(s); len(got) > MaxText || !utf8.ValidString(got) {
			t.Errorf("Text(%.20q) = %.20q with %d bytes", s, got, len(got))
		}
	}
}

func TestARejectionReasonFromTheFutureIsStillARejection(t *testing.T) {
	m := ackToProto(Ack{Nonce: 1, Rejections: []Rejection{{Ref: Ref{Profile, "p"}, Reason: ReasonInvalid}}})
	m.GetAck().Rejections[0].Reason = 99
	a, err := ackFromProto(m)
	if err != nil || len(a.Rejections) != 1 || a.Rejections[0].Reason != ReasonInternal {
		t.Errorf("got %v, %v", a, err)
	}
}
