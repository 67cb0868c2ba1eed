package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

const secret = "the-private-key"

// samples are resources of the kinds that came after version 1.
func samples(t *testing.T) (roots, pair, credentials *Resource) {
	t.Helper()
	var err error
	if roots, err = standard.Roots(&policy.Roots{Name: "ConfigMap/shop/ca/ca.crt", Certificates: [][]byte{[]byte("root")}}); err != nil {
		t.Fatal(err)
	}
	if pair, err = standard.KeyPair(&policy.KeyPair{Name: "shop/client", Chain: [][]byte{[]byte("leaf")}, Key: []byte(secret)}); err != nil {
		t.Fatal(err)
	}
	if credentials, err = standard.Credentials(&policy.Credentials{Name: "shop/proxy", Username: "u", Password: secret}); err != nil {
		t.Fatal(err)
	}
	return roots, pair, credentials
}

func TestAnAgentThatDoesNotKnowTLSIsSentNoneOfIt(t *testing.T) {
	roots, pair, credentials := samples(t)
	for _, r := range []*Resource{roots, pair, credentials} {
		if r.For(FeaturesOf(FeaturePatches)) != nil || r.For(AllFeatures()) != r {
			t.Errorf("%s is not for agents with the feature alone", r.Ref)
		}
		if r.LeftOut(0) != FeaturesOf(FeatureTLS) {
			t.Errorf("%s: left out %b", r.Ref, r.LeftOut(0))
		}
	}
	p := &policy.Profile{Name: "p", Bindings: []policy.Binding{{
		Key: "k", Policy: policy.ParseID("shop/p"), Base: policy.Defaults(),
		To: policy.Target{Kind: policy.TargetHost, Host: "a.example", TLS: policy.TLS{Mode: policy.TLSOriginate, Roots: "r", Certificate: "c"}},
	}}}
	r, err := EncodeProfile(p)
	if err != nil {
		t.Fatal(err)
	}
	if r.LeftOut(FeaturesOf(FeaturePatches)) != FeaturesOf(FeatureTLS) {
		t.Error("it is not noticed that TLS is left out")
	}
	old, err := r.For(0).Profile()
	if err != nil || old.Bindings[0].To.TLS != (policy.TLS{}) || old.Bindings[0].To.Host != "a.example" {
		t.Errorf("%+v, %v", old, err)
	}
}

// A manager of version 1 refuses a hello with kinds that it does not know where it looks for them.
func TestTheHelloSaysTheLaterKindsApart(t *testing.T) {
	roots, pair, _ := samples(t)
	h := Hello{Node: "n", Held: map[Ref]Version{{Profile, "p"}: {1}, roots.Ref: roots.Version, pair.Ref: pair.Version}, Features: AllFeatures()}
	m := helloToProto(h)
	for _, held := range m.GetHello().GetHeld() {
		if held.GetRef().GetKind() > pb.ResourceKind_RESOURCE_KIND_DESTINATION {
			t.Errorf("%v is among those of version 1", held.GetRef())
		}
	}
	got, err := helloFromProto(m)
	if err != nil || len(got.Held) != 3 || got.Held[pair.Ref] != pair.Version {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNoSecretIsSaved(t *testing.T) {
	roots, pair, credentials := samples(t)
	p, err := EncodeProfile(newRandom(1).profile())
	if err != nil {
		t.Fatal(err)
	}
	data, err := EncodeSaved(Saved{Resources: []*Resource{credentials, pair, p, roots}, Generations: []uint64{1, 2, 3, 4}})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(secret)) {
		t.Error("the secret is on the disk")
	}
	saved, err := DecodeSaved(data)
	if err != nil || len(saved.Resources) != 2 || saved.Resources[0].Version != p.Version || saved.Generations[0] != 3 || saved.Resources[1].Version != roots.Version {
		t.Fatalf("%+v, %v", saved, err)
	}
	// An agent of version 1 reads the copy as far as it knows it.
	m := new(pb.SavedSet)
	if err := proto.Unmarshal(data, m); err != nil || len(m.GetResources()) != 1 {
		t.Errorf("%d resources of version 1, %v", len(m.GetResources()), err)
	}
	// Nobody gets one in by another way.
	if data, err = proto.Marshal(&pb.SavedSet{Later: []*pb.Resource{resourceToProto(pair)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeSaved(data); !errors.Is(err, ErrMalformed) {
		t.Errorf("a saved secret is read: %v", err)
	}
}

// However a resource comes to be printed, what it holds is not.
func TestAResourceShowsNoPayload(t *testing.T) {
	_, pair, credentials := samples(t)
	for _, r := range []*Resource{pair, credentials} {
		for _, v := range []any{r, []*Resource{r}, Update{Set: []*Resource{r}}, map[Ref]*Resource{r.Ref: r}} {
			for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
				shown := fmt.Sprintf(format, v)
				if bytes.Contains([]byte(shown), []byte(secret)) || bytes.Contains([]byte(shown), []byte(fmt.Sprintf("%d", []byte(secret)))) {
					t.Errorf("%s shows %s", format, shown)
				}
			}
		}
		damaged := &Resource{Ref: Ref{Roots, r.Ref.Name}, Payload: r.Payload[:len(r.Payload)-1]}
		if _, err := damaged.Roots(); err == nil || bytes.Contains([]byte(err.Error()), []byte(secret)) {
			t.Errorf("the error is %v", err)
		}
	}
}

func TestReferencesHaveBounds(t *testing.T) {
	many := make([][]byte, maxCertificates+1)
	if _, err := standard.Roots(&policy.Roots{Name: "r", Certificates: many}); !errors.Is(err, ErrMalformed) {
		t.Errorf("roots: %v", err)
	}
	if _, err := standard.KeyPair(&policy.KeyPair{Name: "k", Chain: many[:maxChain+1]}); !errors.Is(err, ErrMalformed) {
		t.Errorf("key pair: %v", err)
	}
	r, err := standard.encode(Ref{KeyPair, "k"}, &pb.KeyPair{Name: "k", Chain: many[:maxChain+1]})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.KeyPair(); !errors.Is(err, ErrMalformed) {
		t.Errorf("a long chain is decoded: %v", err)
	}
}

func TestReasonsOfTLSFailuresAreLabels(t *testing.T) {
	entry := func(reasons ...string) *pb.Report {
		e := &pb.Traffic{Policy: &pb.PolicyID{Kind: pb.PolicyKind_POLICY_KIND_RETRY_POLICY, Namespace: "shop", Name: "p"}}
		for _, r := range reasons {
			e.TlsFailures = append(e.TlsFailures, &pb.TLSFailure{Reason: r, Count: 1})
		}
		return &pb.Report{Traffic: []*pb.Traffic{e}}
	}
	if r, err := reportFromProto(entry("certificate_expired", "tls13")); err != nil || len(r.Traffic[0].TLSFailures) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	for name, m := range map[string]*pb.Report{
		"empty": entry(""), "text": entry("it has expired"), "upper case": entry("Expired"), "long": entry(strings.Repeat("a", maxReason+1)),
		"many": entry(make([]string, policy.MaxTLSFailures+1)...),
	} {
		if _, err := reportFromProto(m); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
