package distribute

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

// tlsProfile is a profile whose calls to a host are made by TLS.
func tlsProfile(name string, edit int, host string, tls policy.TLS) *policy.Profile {
	p := profileOf(name, edit)
	p.Bindings = []policy.Binding{{
		Key: name, Policy: policyOf(name), Merged: []policy.ID{policyOf(name)}, Base: policy.Defaults(),
		To: policy.Target{Kind: policy.TargetHost, Host: host, TLS: tls},
	}}
	p.Bindings[0].Base.Retry.MaxRetries = edit
	return p
}

func clientPair(key string) *policy.KeyPair {
	return &policy.KeyPair{Name: "shop/client", Chain: [][]byte{{1}}, Key: []byte(key)}
}

var originate = policy.TLS{Mode: policy.TLSOriginate, Roots: "roots", Certificate: "shop/client"}

// partner is a pod on n1 whose profile refers to roots and a client certificate, and a pod on n2 whose does not.
func partner(b *Batch) {
	b.SetProfile(tlsProfile("p", 1, "a.example", originate))
	b.SetProfile(profileOf("q", 1))
	b.SetRoots(&policy.Roots{Name: "roots", Certificates: [][]byte{{2}}})
	b.SetKeyPair(clientPair("one"))
	b.SetCredentials(&policy.Credentials{Name: "shop/proxy", Username: "u", Password: "p"})
	b.SetWorkload("n1", pod("a", "p"))
	b.SetWorkload("n2", pod("b", "q"))
}

func TestSecretsGoToTheNodesWhosePodsNeedThem(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(partner)
		one, two := o.withFeatures("n1", wire.AllFeatures(), nil), o.withFeatures("n2", wire.AllFeatures(), nil)
		defer one.leave()
		defer two.leave()
		wantRefs(t, one.receive(), "+workload/a", "+profile/p", "+roots/roots", "+key pair/shop/client")
		wantRefs(t, two.receive(), "+workload/b", "+profile/q")
		o.publish(func(b *Batch) { b.SetKeyPair(clientPair("two")) })
		u := one.receive()
		wantRefs(t, u, "+key pair/shop/client")
		if pair, err := u.Set[0].KeyPair(); err != nil || string(pair.Key) != "two" {
			t.Errorf("%v, %v", pair, err)
		}
		if !two.silent() {
			t.Error("a node that does not need it is sent a rotation")
		}
		if r := o.rollout("p"); r.Programmed != 1 {
			t.Errorf("rollout %+v", r)
		}
		o.publish(func(b *Batch) {
			b.SetProfile(tlsProfile("p", 1, "a.example", policy.TLS{}))
			b.RemoveReference(policy.ReferenceKeyPair, "shop/client")
			b.RemoveReference(policy.ReferenceRoots, "roots")
		})
		wantRefs(t, one.receive(), "+profile/p", "-roots/roots", "-key pair/shop/client")
	})
}

func TestAnAgentThatDoesNotKnowTLSGetsNoneOfIt(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(partner)
		old := o.withFeatures("n1", wire.FeaturesOf(wire.FeaturePatches), nil)
		defer old.leave()
		u := old.receive()
		wantRefs(t, u, "+workload/a", "+profile/p")
		for _, r := range u.Set {
			if p, err := r.Profile(); r.Ref.Kind == wire.Profile && (err != nil || p.Bindings[0].To.TLS != (policy.TLS{})) {
				t.Errorf("%+v, %v", p, err)
			}
		}
		o.publish(func(b *Batch) { b.SetKeyPair(clientPair("two")) })
		if !old.silent() {
			t.Error("it is sent a key pair")
		}
		if diff := cmp.Diff([]LeftOut{{Feature: wire.FeatureTLS, Nodes: 1, Example: "n1"}}, o.rollout("p").LeftOut); diff != "" {
			t.Error(diff)
		}
		if got := o.rollout("q").LeftOut; got != nil {
			t.Errorf("a policy without TLS: %v", got)
		}
	})
}

func TestARefusedKeyPairIsAFailureOfItsPolicies(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(partner)
		a := o.withFeatures("n1", wire.AllFeatures(), nil)
		defer a.leave()
		ref := wire.Ref{Kind: wire.KeyPair, Name: "shop/client"}
		a.receive(wire.Rejection{Ref: ref, Reason: wire.ReasonInvalid, Message: "no key", HeldKnown: true})
		r := o.rollout("p")
		if r.Failed != 1 || r.Failures[0].Message != "no key" {
			t.Errorf("%+v", r)
		}
		o.publish(func(b *Batch) { b.SetKeyPair(clientPair("two")) })
		wantRefs(t, a.receive(), "+key pair/shop/client")
		if r := o.rollout("p"); r.Failed != 0 || r.Programmed != 1 {
			t.Errorf("then %+v", r)
		}
	})
}

// A manager that comes to lead does not know a Secret that has gone: agents keep the version that they have, until it is known again or
// nobody refers to it.
func TestWhatIsNotKnownIsKept(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		o.publish(func(b *Batch) {
			b.SetProfile(tlsProfile("p", 1, "a.example", policy.TLS{Mode: policy.TLSOriginate, Certificate: "shop/client"}))
			b.RetainReference(policy.ReferenceKeyPair, "shop/client")
			b.SetWorkload("n1", pod("a", "p"))
		})
		pair := wire.Ref{Kind: wire.KeyPair, Name: "shop/client"}
		a := o.withFeatures("n1", wire.AllFeatures(), map[wire.Ref]wire.Version{pair: {7}, {Kind: wire.KeyPair, Name: "shop/other"}: {8}})
		defer a.leave()
		wantRefs(t, a.receive(), "+workload/a", "+profile/p", "-key pair/shop/other")
		o.publish(func(b *Batch) { b.SetKeyPair(clientPair("back")) })
		wantRefs(t, a.receive(), "+key pair/shop/client")
		o.publish(func(b *Batch) { b.RetainReference(policy.ReferenceKeyPair, "shop/client") })
		synctest.Wait() // were it taken away, that would come first now
		o.publish(func(b *Batch) { b.SetProfile(tlsProfile("p", 1, "a.example", policy.TLS{})) })
		wantRefs(t, a.receive(), "+profile/p", "-key pair/shop/client")
	})
}

func TestEachNodeGetsAnIssuerOfItsOwn(t *testing.T) {
	withManager(t, func(t *testing.T, o *testManager) {
		wanted := 0
		o.store.OnIssuersWanted(func() { wanted++ })
		intercept := policy.TLS{Mode: policy.TLSIntercept, Issuer: policy.IssuerName}
		o.publish(func(b *Batch) {
			b.SetProfile(tlsProfile("p", 1, "a.example", intercept))
			b.SetProfile(tlsProfile("q", 1, "*.b.example", intercept))
			b.SetProfile(profileOf("plain", 1))
			b.SetWorkload("n1", pod("a", "p"))
			b.SetWorkload("n1", pod("b", "q"))
			b.SetWorkload("n2", pod("c", "p"))
			b.SetWorkload("n3", pod("d", "plain"))
		})
		if diff := cmp.Diff([]IssuerDemand{{"n1", []string{"*.b.example", "a.example"}}, {"n2", []string{"a.example"}}}, o.store.IssuerDemands()); diff != "" || wanted == 0 {
			t.Errorf("asked for %d times; %s", wanted, diff)
		}
		held := map[wire.Ref]wire.Version{issuerRef: {7}}
		one, two := o.withFeatures("n1", wire.AllFeatures(), nil), o.withFeatures("n2", wire.AllFeatures(), held)
		defer one.leave()
		defer two.leave()
		wantRefs(t, one.receive(), "+workload/a", "+workload/b", "+profile/p", "+profile/q")
		// The one from the manager before is kept until there is another.
		wantRefs(t, two.receive(), "+workload/c", "+profile/p")
		issuers := map[string]*policy.KeyPair{}
		for _, n := range []string{"n1", "n2", "n3", "n4"} {
			issuers[n] = &policy.KeyPair{Name: policy.IssuerName, Key: []byte("key of " + n)}
		}
		if err := o.store.SetIssuers(issuers); err != nil {
			t.Fatal(err)
		}
		for n, a := range map[string]*agent{"n1": one, "n2": two} {
			u := a.receive()
			wantRefs(t, u, "+key pair/egress-issuer")
			if pair, err := u.Set[0].KeyPair(); err != nil || string(pair.Key) != fmt.Sprint("key of ", n) {
				t.Errorf("%s: %v, %v", n, pair, err)
			}
		}
		before := wanted
		o.publish(func(b *Batch) { b.RemoveWorkload("b") })
		wantRefs(t, one.receive(), "-workload/b", "-profile/q")
		if wanted == before {
			t.Error("nobody hears that a node needs an issuer for other hosts")
		}
		o.publish(func(b *Batch) { b.RemoveWorkload("a") })
		wantRefs(t, one.receive(), "-workload/a", "-profile/p", "-key pair/egress-issuer")
		if diff := cmp.Diff([]IssuerDemand{{"n2", []string{"a.example"}}}, o.store.IssuerDemands()); diff != "" {
			t.Error(diff)
		}
	})
}
