package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

func seedResources(f *testing.F) {
	for seed := range uint64(8) {
		r := newRandom(seed)
		for _, encode := range []func() (*Resource, error){
			func() (*Resource, error) { return EncodeProfile(r.profile()) },
			func() (*Resource, error) { return EncodeWorkload(randomOf[policy.Workload](r)) },
			func() (*Resource, error) { return EncodeDestination(randomOf[policy.Destination](r)) },
		} {
			res, err := encode()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(res.Payload)
		}
	}
}

// FuzzResource decodes anything as every kind of resource: no panic, and what is accepted survives the next trip.
func FuzzResource(f *testing.F) {
	seedResources(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > MaxPayload {
			return
		}
		name := func(m interface {
			proto.Message
			GetName() string
		}) string {
			_ = proto.Unmarshal(payload, m)
			return m.GetName()
		}
		again(t, &Resource{Ref: Ref{Profile, name(new(pb.Profile))}, Payload: payload}, (*Resource).Profile, EncodeProfile)
		again(t, &Resource{Ref: Ref{Destination, name(new(pb.Destination))}, Payload: payload}, (*Resource).Destination, EncodeDestination)
		w := new(pb.Workload)
		_ = proto.Unmarshal(payload, w)
		again(t, &Resource{Ref: Ref{Workload, w.GetUid()}, Payload: payload}, (*Resource).Workload, EncodeWorkload)
	})
}

func again[T any](t *testing.T, r *Resource, decode func(*Resource) (*T, error), encode func(*T) (*Resource, error)) {
	t.Helper()
	v, err := decode(r)
	if err != nil || r.Ref.Name == "" || len(r.Ref.Name) > MaxName {
		return
	}
	re, err := encode(v)
	if err != nil {
		// A payload written less densely than ours can be within the limit and its canonical form not; nothing else may fail.
		t.Fatalf("accepted %s, but cannot encode it: %v", r.Ref, err)
	}
	got, err := decode(re)
	if err != nil {
		t.Fatalf("accepted %s, but not its canonical form: %v", r.Ref, err)
	}
	if diff := cmp.Diff(v, got, netipEqual); diff != "" {
		t.Fatalf("%s changed on the way:\n%s", r.Ref, diff)
	}
}

// FuzzRequest decodes anything as a message from an agent.
func FuzzRequest(f *testing.F) {
	for _, m := range []*pb.SubscribeRequest{
		helloToProto(Hello{Node: "n", Features: AllFeatures(), Version: "v1.2.3", Held: map[Ref]Version{{Workload, "u"}: {1}, {Profile, "p"}: {2}}}),
		ackToProto(Ack{Nonce: 3, Rejections: []Rejection{
			{Ref: Ref{Profile, "p"}, Reason: ReasonInvalid, Message: "no"}, {Ref: Ref{Profile, "q"}, Reason: ReasonInvalid, HeldKnown: true},
			{Ref: Ref{Profile, "r"}, Reason: ReasonInvalid, HeldKnown: true, Held: Version{1}}}}),
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(pb.SubscribeRequest)
		if proto.Unmarshal(b, m) != nil {
			return
		}
		if h, err := helloFromProto(m); err == nil {
			back, err := helloFromProto(helloToProto(h))
			if diff := cmp.Diff(h, back); err != nil || diff != "" {
				t.Fatalf("error %v, hello changed:\n%s", err, diff)
			}
		}
		if a, err := ackFromProto(m); err == nil {
			back, err := ackFromProto(ackToProto(a))
			if diff := cmp.Diff(a, back); err != nil || diff != "" {
				t.Fatalf("error %v, ack changed:\n%s", err, diff)
			}
		}
	})
}

// FuzzReport decodes anything as a report.
func FuzzReport(f *testing.F) {
	for seed := range uint64(8) {
		m, err := reportRequestToProto(Report{Sequence: seed, Body: *randomOf[policy.Report](newRandom(seed))})
		if err != nil {
			f.Fatal(err)
		}
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(pb.ReportRequest)
		if proto.Unmarshal(b, m) != nil {
			return
		}
		r, err := reportRequestFromProto(m)
		if err != nil {
			return
		}
		if _, err := reportRequestToProto(r); err != nil {
			t.Fatalf("accepted a report that cannot be sent: %v", err)
		}
	})
}

// FuzzSaved decodes anything as the copy on an agent's disk.
func FuzzSaved(f *testing.F) {
	r, err := EncodeWorkload(&policy.Workload{UID: "u", Profile: "p"})
	if err != nil {
		f.Fatal(err)
	}
	b, err := EncodeSaved(Saved{Resources: []*Resource{r}, Generations: []uint64{7}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	if b, err = EncodeSaved(Saved{Resources: []*Resource{r}}); err != nil { // as written before there were generations
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		saved, err := DecodeSaved(b)
		if err != nil {
			return
		}
		out, err := EncodeSaved(saved)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeSaved(out)
		if diff := cmp.Diff(saved, back, cmpopts.IgnoreUnexported(Resource{})); err != nil || diff != "" {
			t.Fatalf("error %v, set changed:\n%s", err, diff)
		}
	})
}
