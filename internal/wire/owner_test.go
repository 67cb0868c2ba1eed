package wire

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// What a pod belongs to travels to agents that know of it. Others get what they got before there was such a thing, to the byte.
func TestOwnersTravelToAgentsThatKnowOfThem(t *testing.T) {
	w := &policy.Workload{UID: "u", Namespace: "shop", Name: "cart-7d4b9c-x", Profile: "p", Zone: "z", Owner: policy.Owner{Kind: "Deployment", Name: "cart"}}
	r, err := EncodeWorkload(w)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.For(FeaturesOf(FeatureOwners)).Workload()
	if diff := cmp.Diff(w, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	before, err := proto.Marshal(&pb.Workload{Uid: "u", Namespace: "shop", Name: "cart-7d4b9c-x", Profile: "p", Zone: "z"})
	if err != nil {
		t.Fatal(err)
	}
	older := r.For(AllFeatures() &^ FeaturesOf(FeatureOwners))
	if !bytes.Equal(older.Payload, before) {
		t.Errorf("an older agent gets %x, want %x", older.Payload, before)
	}
	got, err = older.Workload()
	w.Owner = policy.Owner{}
	if diff := cmp.Diff(w, got); err != nil || diff != "" {
		t.Errorf("of an older manager: %v (-want +got):\n%s", err, diff)
	}
}
