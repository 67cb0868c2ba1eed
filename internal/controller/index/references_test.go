package index_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

const partner = `{to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System}, clientCertificateRef: {name: client}}}], retry: {maxRetries: 1}}`

var client = compile.Reference{Kind: v1alpha1.CABundleSecret, Namespace: "shop", Name: "client"}

// keyPair returns what a Secret with a new certificate holds.
func keyPair(t *testing.T) compile.Referent {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return compile.Referent{Presence: compile.Present, Now: time.Unix(1e8, 0), Data: map[string][]byte{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}}
}

// referenceWorld is a pod that a policy with a client certificate governs.
type referenceWorld struct {
	*indextest.World
	*index.Index
	sent *indextest.Published
}

func newReferenceWorld(t *testing.T, now compile.Referent, src compile.Source) *referenceWorld {
	w := &referenceWorld{World: indextest.NewWorld(), sent: indextest.NewPublished()}
	w.World.References[client] = now
	w.Index = index.New(w.World, indextest.Exempt)
	w.SetNamespace("shop", nil)
	w.SetPod(indextest.RunningPod("shop", "a", "node-1", "checkout"))
	w.SetPolicy("uid", src)
	w.publish()
	return w
}

func (w *referenceWorld) publish() { indextest.Publish(w.Index, w.sent) }

// becomes changes the Secret.
func (w *referenceWorld) becomes(now compile.Referent) {
	w.Lock()
	w.World.References[client] = now
	w.Unlock()
	w.ReferenceChanged(client)
	w.publish()
}

func (w *referenceWorld) problems(t *testing.T) []compile.Problem {
	t.Helper()
	v, ok := w.View(policy.ParseID("shop/p"))
	if !ok {
		t.Fatal("no view")
	}
	return v.Problems
}

func (w *referenceWorld) wantKey(t *testing.T, what string, r compile.Referent) {
	t.Helper()
	pair := w.sent.KeyPairs["shop/client"]
	if pair == nil {
		t.Fatalf("%s: agents have no key pair", what)
	}
	if block, _ := pem.Decode(r.Data["tls.key"]); string(block.Bytes) != string(pair.Key) {
		t.Errorf("%s: agents have another key", what)
	}
}

func TestARotatedSecretIsPublishedAndABadOneIsNot(t *testing.T) {
	first, second := keyPair(t), keyPair(t)
	w := newReferenceWorld(t, first, indextest.RetryPolicy(t, "shop", "p", 1, partner))
	w.wantKey(t, "at first", first)
	if got := w.sent.Profiles["shop/p"].Bindings[0].To.TLS.Certificate; got != "shop/client" {
		t.Errorf("the profile refers to %q", got)
	}
	w.becomes(second)
	w.wantKey(t, "rotated", second)

	mismatch := compile.Referent{Presence: compile.Present, Now: second.Now, Data: map[string][]byte{"tls.crt": first.Data["tls.crt"], "tls.key": second.Data["tls.key"]}}
	for name, bad := range map[string]compile.Referent{"a key that does not match": mismatch, "gone": {}, "forbidden": {Presence: compile.Forbidden}} {
		w.becomes(bad)
		if len(w.problems(t)) != 1 {
			t.Errorf("%s: problems %v", name, w.problems(t))
		}
		w.wantKey(t, name, second)
		if w.sent.Profiles["shop/p"].Bindings[0].To.TLS.Mode != policy.TLSOriginate {
			t.Errorf("%s: the last good version is not in force", name)
		}
	}
	third := keyPair(t)
	w.becomes(third)
	w.wantKey(t, "mended", third)
	if p := w.problems(t); len(p) > 0 {
		t.Errorf("mended: %v", p)
	}
}

// An edit that names another Secret, which is not usable, leaves the former one in force, and that one goes on being followed.
func TestTheLastGoodVersionsSecretIsFollowed(t *testing.T) {
	first := keyPair(t)
	w := newReferenceWorld(t, first, indextest.RetryPolicy(t, "shop", "p", 1, partner))
	w.SetPolicy("uid", indextest.RetryPolicy(t, "shop", "p", 2,
		`{to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System}, clientCertificateRef: {name: gone}}}]}`))
	w.publish()
	if len(w.problems(t)) != 1 || len(w.Index.References()) != 2 {
		t.Errorf("problems %v, references %v", w.problems(t), w.Index.References())
	}
	second := keyPair(t)
	w.becomes(second)
	w.wantKey(t, "rotated", second)
}

func TestWhatNobodyRefersToIsRemoved(t *testing.T) {
	w := newReferenceWorld(t, keyPair(t), indextest.RetryPolicy(t, "shop", "p", 1, partner))
	w.SetPolicy("uid", indextest.RetryPolicy(t, "shop", "p", 2, `{to: [{host: a.example}]}`))
	w.publish()
	if len(w.sent.KeyPairs) > 0 || len(w.Index.References()) > 0 {
		t.Errorf("published %v, references %v", w.sent.KeyPairs, w.Index.References())
	}
	w.SetPolicy("uid", indextest.RetryPolicy(t, "shop", "p", 3, partner))
	w.publish()
	if len(w.sent.KeyPairs) != 1 {
		t.Error("it is not published again")
	}
	w.DeletePolicy(policy.ParseID("shop/p"))
	w.publish()
	if len(w.sent.KeyPairs) > 0 || len(w.Index.References()) > 0 {
		t.Errorf("after the policy: published %v, references %v", w.sent.KeyPairs, w.Index.References())
	}
}

// A manager that comes to lead knows nothing of a Secret that has gone: agents keep what they have of it.
func TestAgentsKeepWhatANewManagerDoesNotKnow(t *testing.T) {
	src := indextest.RetryPolicy(t, "shop", "p", 1, partner)
	src.InForce = 1
	w := newReferenceWorld(t, compile.Referent{}, src)
	if !w.sent.Retained["shop/client"] || w.sent.Profiles["shop/p"].Bindings[0].To.TLS.Certificate != "shop/client" {
		t.Errorf("retained %v, profile %+v", w.sent.Retained, w.sent.Profiles["shop/p"])
	}
	back := keyPair(t)
	w.becomes(back)
	w.wantKey(t, "back", back)
}

// Every node has an issuer of its own, so it is not among what is published for all.
func TestTheIssuerIsNoMaterial(t *testing.T) {
	w := newReferenceWorld(t, compile.Referent{}, indextest.RetryPolicy(t, "shop", "p", 1,
		`{to: [{host: a.example, protocol: HTTP, tls: {mode: Intercept, caBundleRef: {kind: System}}}]}`))
	if len(w.sent.KeyPairs)+len(w.sent.Retained) > 0 || w.sent.Profiles["shop/p"].Bindings[0].To.TLS.Issuer != policy.IssuerName {
		t.Errorf("%v %v", w.sent.KeyPairs, w.sent.Retained)
	}
	w.SetNamespace("billing", map[string]string{"a": "b"})
	if got := w.NamespacesWith("a", "b"); len(got) != 1 || got[0] != "billing" {
		t.Errorf("namespaces %v", got)
	}
}

func TestARotatedBundleIsPublishedAndABadOneIsNot(t *testing.T) {
	trusted := compile.Reference{Kind: v1alpha1.CABundleConfigMap, Namespace: "shop", Name: "partner-ca"}
	bundleOf := func(r compile.Referent) compile.Referent {
		return compile.Referent{Presence: compile.Present, Now: r.Now, Data: map[string][]byte{"ca.crt": r.Data["tls.crt"]}}
	}
	first, second := bundleOf(keyPair(t)), bundleOf(keyPair(t))
	w := newReferenceWorld(t, keyPair(t), indextest.RetryPolicy(t, "shop", "p", 1,
		`{to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {name: partner-ca}}}], retry: {maxRetries: 1}}`))
	becomes := func(now compile.Referent) {
		w.Lock()
		w.World.References[trusted] = now
		w.Unlock()
		w.ReferenceChanged(trusted)
		w.publish()
	}
	wantRoots := func(what string, r compile.Referent) {
		t.Helper()
		roots := w.sent.Roots["ConfigMap/shop/partner-ca/ca.crt"]
		block, _ := pem.Decode(r.Data["ca.crt"])
		if roots == nil || len(roots.Certificates) != 1 || string(roots.Certificates[0]) != string(block.Bytes) {
			t.Errorf("%s: agents trust %v", what, roots)
		}
	}
	becomes(first)
	wantRoots("at first", first)
	becomes(second)
	wantRoots("rotated", second)
	broken := append([]byte{}, first.Data["ca.crt"]...)
	for name, bad := range map[string]compile.Referent{
		"no certificate":          {Presence: compile.Present, Now: first.Now, Data: map[string][]byte{"ca.crt": []byte("text")}},
		"a part of a certificate": {Presence: compile.Present, Now: first.Now, Data: map[string][]byte{"ca.crt": append(broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...)}},
		"another entry":           {Presence: compile.Present, Now: first.Now, Data: map[string][]byte{"other": first.Data["ca.crt"]}},
		"gone":                    {}, "forbidden": {Presence: compile.Forbidden},
	} {
		becomes(bad)
		if len(w.problems(t)) != 1 {
			t.Errorf("%s: problems %v", name, w.problems(t))
		}
		wantRoots(name, second)
	}
	becomes(first)
	wantRoots("mended", first)
	if p := w.problems(t); len(p) > 0 {
		t.Errorf("mended: %v", p)
	}
}
