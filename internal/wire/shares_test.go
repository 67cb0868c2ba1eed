package wire

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

func TestDemandsAndGrantsTravel(t *testing.T) {
	d := Demands{Sequence: 7, Demands: []Demand{
		{Limit: 1, Name: policy.LimitName{Limit: "shop/p", Destination: "shop/a:80"}, Rate: 12.5, Share: policy.Share{Rate: 1, Burst: 1}},
		{Limit: 2, Rate: 0.1, Serial: 9},
		{Limit: 3, Serial: 4, Left: true},
	}}
	back, err := messageFromProto(demandsToProto(d))
	if diff := cmp.Diff(FromAgent{Demands: &d}, back); err != nil || diff != "" {
		t.Errorf("error %v, demands changed:\n%s", err, diff)
	}
	u := Update{Grants: &Grants{Sequence: 3, Grants: []Grant{{Limit: 1, Serial: 10, Share: policy.Share{Rate: 99.5, Burst: 20}}}}}
	got, err := updateFromProto(updateToProto(u))
	if diff := cmp.Diff(u, got); err != nil || diff != "" {
		t.Errorf("error %v, grants changed:\n%s", err, diff)
	}
	if u, err := updateFromProto(updateToProto(Update{Nonce: 1})); err != nil || u.Grants != nil {
		t.Errorf("an update without grants has %v, %v", u.Grants, err)
	}
}

func TestDemandsAreBounded(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	for name, m := range map[string]*pb.Demands{
		"too many":         {Demands: make([]*pb.Demand, MaxDemands+1)},
		"a long limit":     {Demands: []*pb.Demand{{Name: &pb.LimitName{Limit: long}}}},
		"a long name":      {Demands: []*pb.Demand{{Name: &pb.LimitName{Destination: long}}}},
		"no number":        {Demands: []*pb.Demand{{Rate: math.NaN()}}},
		"infinite":         {Demands: []*pb.Demand{{Rate: math.Inf(1)}}},
		"negative":         {Demands: []*pb.Demand{{Rate: -1}}},
		"an endless share": {Demands: []*pb.Demand{{Share: &pb.Share{Burst: 1e300}}}},
	} {
		if _, err := messageFromProto(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Demands{Demands: m}}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: accepted: %v", name, err)
		}
	}
	for name, m := range map[string]*pb.Grants{
		"too many":  {Grants: make([]*pb.Grant, MaxDemands+1)},
		"no number": {Grants: []*pb.Grant{{Share: &pb.Share{Rate: math.NaN()}}}},
	} {
		if _, err := updateFromProto(&pb.Update{Grants: m}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: accepted: %v", name, err)
		}
	}
}

// A cluster's limit is a node's for an agent that does not know how to share.
func TestAnAgentThatDoesNotShareHasTheLimitForItsNode(t *testing.T) {
	s := policy.Defaults()
	s.RateLimit = &policy.RateLimit{Requests: 10, Per: 1e9, Burst: 10, Scope: policy.ShareCluster, Shared: "shop/p"}
	r, err := EncodeProfile(&policy.Profile{Name: "p", Bindings: []policy.Binding{{Key: "k", Policy: policy.ParseID("shop/p"), Base: s}}})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := r.For(AllFeatures()).Profile()
	if err != nil || *whole.Bindings[0].Base.RateLimit != *s.RateLimit {
		t.Fatalf("got %+v, %v", whole.Bindings[0].Base.RateLimit, err)
	}
	without := AllFeatures() &^ FeaturesOf(FeatureClusterLimits)
	p, err := r.For(without).Profile()
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Bindings[0].Base.RateLimit; got.Scope != policy.ShareNode || got.Shared != "" || got.Requests != 10 {
		t.Errorf("got %+v", got)
	}
	if r.LeftOut(without) != FeaturesOf(FeatureClusterLimits) {
		t.Errorf("left out %b", r.LeftOut(without))
	}
}
