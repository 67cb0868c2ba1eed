package compile

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

const year = 365 * 24 * time.Hour

//enforces:agent to[].tls.caBundleRef.kind to[].tls.caBundleRef.key
func TestTLSOfATargetIsCompiled(t *testing.T) {
	port, after := int32(443), int32(3)
	ca, client := newCertificate(t, "ca", year, year), newCertificate(t, "client", year, year)
	there := objects{
		configMap("partner-ca"): {"ca.crt": ca.chain}, secretOf("partner-ca"): {"bundle.pem": ca.chain}, secretOf("client"): {"tls.crt": client.chain, "tls.key": client.key},
		{Kind: v1alpha1.CABundleClusterTrustBundle, Name: "example.com:partner:v1"}: {BundleEntry: ca.chain},
		{Kind: v1alpha1.CABundleConfigMap, Namespace: "", Name: "partner-ca"}:       {"ca.crt": ca.chain},
		{Kind: v1alpha1.CABundleSecret, Namespace: "", Name: "egress-issuer"}:       {"tls.crt": client.chain, "tls.key": client.key},
	}
	for name, tc := range map[string]struct {
		id   string
		give v1alpha1.DestinationTLS
		want policy.TLS
	}{
		"nothing": {"shop/p", v1alpha1.DestinationTLS{}, policy.TLS{}},
		"a ConfigMap, and all else": {
			"shop/p",
			v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate, SNI: "b.example", Port: &port, CABundleRef: &v1alpha1.CABundleReference{Name: "partner-ca"},
				ClientCertificateRef: &v1alpha1.SecretReference{Name: "client"}},
			policy.TLS{Mode: policy.TLSOriginate, ServerName: "b.example", Port: 443, Roots: "ConfigMap/shop/partner-ca/ca.crt", Certificate: "shop/client"},
		},
		"a Secret with another entry": {
			"shop/p", v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate, CABundleRef: &v1alpha1.CABundleReference{Kind: v1alpha1.CABundleSecret, Name: "partner-ca", Key: "bundle.pem"}},
			policy.TLS{Mode: policy.TLSOriginate, Roots: "Secret/shop/partner-ca/bundle.pem"},
		},
		"a ClusterTrustBundle": {
			"shop/p", v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate, CABundleRef: &v1alpha1.CABundleReference{Kind: v1alpha1.CABundleClusterTrustBundle, Name: "example.com:partner:v1"}},
			policy.TLS{Mode: policy.TLSOriginate, Roots: "ClusterTrustBundle/example.com:partner:v1"},
		},
		"the public roots, intercepted": {
			"shop/p", v1alpha1.DestinationTLS{Mode: v1alpha1.TLSIntercept, CABundleRef: &v1alpha1.CABundleReference{Kind: v1alpha1.CABundleSystem}, PassthroughAfter: &after},
			policy.TLS{Mode: policy.TLSIntercept, Issuer: policy.IssuerName, PassAfter: 3},
		},
		"of a cluster's policy, whose Secret has a name that is taken": {
			"base", v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate, CABundleRef: &v1alpha1.CABundleReference{Name: "partner-ca"},
				ClientCertificateRef: &v1alpha1.SecretReference{Name: "egress-issuer"}},
			policy.TLS{Mode: policy.TLSOriginate, Roots: "ConfigMap/~/partner-ca/ca.crt", Certificate: "~/egress-issuer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			src := Source{ID: policy.ParseID(tc.id), To: to(v1alpha1.Destination{Host: "a.example", Protocol: v1alpha1.ProtocolHTTP, TLS: &tc.give}), Body: &v1alpha1.PolicyBody{}}
			p, problems := Read(src, services, there.find)
			if problems != nil {
				t.Fatal(problems)
			}
			if got := Compile("p", []*Policy{p}).Bindings[0].To.TLS; got != tc.want {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestWhatIsWrongWithReferencesIsSaid(t *testing.T) {
	ca, client, other := newCertificate(t, "ca", year, year), newCertificate(t, "client", year, year), newCertificate(t, "other", year, year)
	old, young := newCertificate(t, "old", year, -time.Hour), newCertificate(t, "young", -time.Hour, year)
	bundle := func(name, key string) *v1alpha1.CABundleReference {
		return &v1alpha1.CABundleReference{Name: name, Key: key}
	}
	there := objects{
		configMap("ca"): {"ca.crt": ca.chain, "empty": {}, "text": []byte("no PEM"), "key": client.key, "old": old.chain, "mixed": append(old.chain, ca.chain...),
			"broken": []byte("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n")},
		secretOf("mismatch"): {"tls.crt": client.chain, "tls.key": other.key}, secretOf("expired"): {"tls.crt": old.chain, "tls.key": old.key},
		secretOf("young"): {"tls.crt": young.chain, "tls.key": young.key}, secretOf("half"): {"tls.crt": client.chain}, secretOf("good"): {"tls.crt": client.chain, "tls.key": client.key},
	}
	for name, tc := range map[string]struct {
		to           v1alpha1.Destination
		reason, want string // the start of the message
	}{
		"no ConfigMap":     {originating(bundle("gone", ""), ""), v1alpha1.ReasonReferenceNotFound, "to[0].tls.caBundleRef: there is no ConfigMap gone in namespace shop; create it, or correct the name."},
		"no entry":         {originating(bundle("ca", "x"), ""), v1alpha1.ReasonReferenceNotFound, "to[0].tls.caBundleRef: ConfigMap ca in namespace shop has no entry x (it has broken, ca.crt, empty, key, mixed); add it, or correct key."},
		"an empty bundle":  {originating(bundle("ca", "empty"), ""), v1alpha1.ReasonInvalidCABundle, "to[0].tls.caBundleRef: empty of ConfigMap ca in namespace shop has no certificate in PEM;"},
		"no PEM":           {originating(bundle("ca", "text"), ""), v1alpha1.ReasonInvalidCABundle, "to[0].tls.caBundleRef: text of ConfigMap ca in namespace shop has no certificate in PEM;"},
		"a key":            {originating(bundle("ca", "key"), ""), v1alpha1.ReasonInvalidCABundle, "to[0].tls.caBundleRef: key of ConfigMap ca in namespace shop has no certificate in PEM;"},
		"no certificate":   {originating(bundle("ca", "broken"), ""), v1alpha1.ReasonInvalidCABundle, "to[0].tls.caBundleRef: broken of ConfigMap ca in namespace shop has a certificate that cannot be read (block 1: "},
		"an old bundle":    {originating(bundle("ca", "old"), ""), v1alpha1.ReasonInvalidCABundle, "to[0].tls.caBundleRef: old of ConfigMap ca in namespace shop has no certificate that is still valid: the last one expired on 2030-06-01; add its successor."},
		"one old of two":   {originating(bundle("ca", "mixed"), ""), "", ""},
		"no Secret":        {originating(bundle("ca", ""), "gone"), v1alpha1.ReasonReferenceNotFound, "to[0].tls.clientCertificateRef: there is no Secret gone in namespace shop;"},
		"no key":           {originating(bundle("ca", ""), "half"), v1alpha1.ReasonReferenceNotFound, "to[0].tls.clientCertificateRef: Secret half in namespace shop has no entry tls.key (it has tls.crt); add it."},
		"another key":      {originating(bundle("ca", ""), "mismatch"), v1alpha1.ReasonInvalidCertificate, "to[0].tls.clientCertificateRef: Secret mismatch in namespace shop is no certificate with its key (tls: private key does not match public key); correct tls.crt and tls.key."},
		"an old client":    {originating(bundle("ca", ""), "expired"), v1alpha1.ReasonInvalidCertificate, "to[0].tls.clientCertificateRef: Secret expired in namespace shop has a certificate that expired on 2030-06-01; renew it."},
		"too young":        {originating(bundle("ca", ""), "young"), v1alpha1.ReasonInvalidCertificate, "to[0].tls.clientCertificateRef: Secret young in namespace shop has a certificate that is not valid before 2030-06-01T13:00:00Z."},
		"nothing is wrong": {originating(bundle("ca", ""), "good"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, problems := Read(Source{ID: policy.ParseID("shop/p"), To: to(tc.to)}, services, there.find)
			if tc.reason == "" {
				if p == nil {
					t.Error(problems)
				}
				return
			}
			if p != nil || len(problems) != 1 || problems[0].Reason != tc.reason || !strings.HasPrefix(problems[0].Message, tc.want) || !strings.HasSuffix(problems[0].Message, ".") {
				t.Errorf("%+v", problems)
			}
		})
	}
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	ref := &v1alpha1.CABundleReference{Kind: v1alpha1.CABundleClusterTrustBundle, Name: "a"}
	for presence, want := range map[Presence]string{
		Forbidden: "ReferenceForbidden to[0].tls.caBundleRef: the manager may not read ClusterTrustBundle a; do this.",
		Unserved:  "ReferenceNotFound to[0].tls.caBundleRef: this cluster serves no ClusterTrustBundles (certificates.k8s.io); name a ConfigMap or Secret instead.",
		Unread:    "ReferenceNotFound to[0].tls.caBundleRef: ClusterTrustBundle a has not been read yet; do this.",
	} {
		find := func(Reference) Referent { return Referent{Presence: presence, Hint: "do this."} }
		_, problems := Read(Source{ID: policy.ParseID("shop/p"), To: to(originating(ref, ""))}, services, find)
		if len(problems) != 1 || problems[0].Reason+" "+problems[0].Message != want {
			t.Errorf("%d: %+v", presence, problems)
		}
	}
}

func TestMaterialsHoldCertificatesAlone(t *testing.T) {
	ca, client := newCertificate(t, "ca", year, year), newCertificate(t, "client", year, 24*time.Hour)
	there := objects{
		configMap("ca"):    {"ca.crt": bytes.Join([][]byte{ca.chain, client.key, ca.chain, client.chain}, nil)},
		secretOf("client"): {"tls.crt": client.chain, "tls.key": client.key},
	}
	src := Source{ID: policy.ParseID("shop/p"), To: to(originating(&v1alpha1.CABundleReference{Name: "ca"}, "client"))}
	all := MaterialsOf(&src, there.find)
	if len(all) != 2 {
		t.Fatalf("%d materials", len(all))
	}
	if diff := cmp.Diff([][]byte{der(t, ca.chain), der(t, client.chain)}, all[0].Roots.Certificates); diff != "" {
		t.Errorf("each certificate once, and no key: %s", diff)
	}
	want := &policy.KeyPair{Name: "shop/client", Chain: [][]byte{der(t, client.chain)}, Key: der(t, client.key)}
	if !cmp.Equal(want.Chain, all[1].KeyPair.Chain) || !bytes.Equal(want.Key, all[1].KeyPair.Key) || all[1].Name != want.Name {
		t.Error("the key pair is another")
	}
	if diff := cmp.Diff([]Reference{configMap("ca"), secretOf("client")}, ReferencesOf(&src)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]MaterialKey{{policy.ReferenceRoots, "ConfigMap/shop/ca/ca.crt"}, {policy.ReferenceKeyPair, "shop/client"}}, MaterialKeys(&src)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"to[0].tls.clientCertificateRef: what Secret client in namespace shop holds expires on 2030-06-02; renew it."}, Expiring(&src, there.find)); diff != "" {
		t.Error(diff)
	}
	if !all[0].Equal(all[0]) || all[0].Equal(all[1]) {
		t.Error("equality")
	}
	next, ok := NextChange(there[secretOf("client")], noon)
	if !ok || !next.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("the next change is at %s, %v", next, ok)
	}
	if next, _ := NextChange(there[configMap("ca")], noon.Add(25*time.Hour)); !next.Equal(noon.Add(year - expirySoon)) {
		t.Errorf("then the next change is at %s", next)
	}
	if _, ok := NextChange(map[string][]byte{"a": []byte("text")}, noon); ok {
		t.Error("text changes")
	}
}

// A policy about retries to one host of many must not turn off that calls are encrypted.
func TestTLSIsTakenFromTheBroaderTargetWhereTheNarrowerSaysNothing(t *testing.T) {
	tlsOf := func(mode v1alpha1.TLSMode) *v1alpha1.DestinationTLS {
		return &v1alpha1.DestinationTLS{Mode: mode, CABundleRef: &v1alpha1.CABundleReference{Kind: v1alpha1.CABundleSystem}}
	}
	broad := func(mode v1alpha1.TLSMode) v1alpha1.Destination {
		return v1alpha1.Destination{Host: "*.example", Protocol: v1alpha1.ProtocolHTTP, TLS: tlsOf(mode)}
	}
	narrow := host("a.example")
	own := v1alpha1.Destination{Host: "a.example", Protocol: v1alpha1.ProtocolHTTP, TLS: tlsOf(v1alpha1.TLSIntercept)}
	off := v1alpha1.Destination{Host: "a.example", TLS: &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSPassthrough}}
	elsewhere := v1alpha1.Destination{Host: "*.example", Ports: []int32{8443}, Protocol: v1alpha1.ProtocolHTTP, TLS: tlsOf(v1alpha1.TLSOriginate)}
	for name, tc := range map[string]struct {
		broad, narrow v1alpha1.Destination
		mode          policy.TLSMode
		protocol      policy.Protocol
	}{
		"it says nothing":   {broad(v1alpha1.TLSOriginate), narrow, policy.TLSOriginate, policy.ProtocolHTTP},
		"it says otherwise": {broad(v1alpha1.TLSOriginate), own, policy.TLSIntercept, policy.ProtocolHTTP},
		"it turns it off":   {broad(v1alpha1.TLSOriginate), off, policy.TLSPassthrough, policy.ProtocolAuto},
		"on another port":   {elsewhere, narrow, policy.TLSPassthrough, policy.ProtocolAuto},
	} {
		t.Run(name, func(t *testing.T) {
			p := compileAll(t, given{id: "shop/broad", level: LevelNamespace, to: to(tc.broad)}, given{id: "shop/narrow", level: LevelPods, to: to(tc.narrow)})
			for _, b := range p.Bindings {
				if b.To.Host == "a.example" && (b.To.TLS.Mode != tc.mode || b.To.Protocol != tc.protocol) {
					t.Errorf("%+v", b.To)
				}
			}
		})
	}
}

// The key of a binding tells how its host is called; the keys of policies that say nothing of it are as they always were.
func TestKeysTellHowAHostIsCalled(t *testing.T) {
	ca := newCertificate(t, "ca", year, year)
	there := objects{configMap("ca"): {"ca.crt": ca.chain}, configMap("ca2"): {"ca.crt": ca.chain}}
	keyOf := func(in *v1alpha1.DestinationTLS) string {
		t.Helper()
		d := v1alpha1.Destination{Host: "a.example", Ports: []int32{80}, Protocol: v1alpha1.ProtocolHTTP, TLS: in}
		p, problems := Read(Source{ID: policy.ParseID("shop/p"), To: to(d), Body: &v1alpha1.PolicyBody{}}, services, there.find)
		if problems != nil {
			t.Fatal(problems)
		}
		return Compile("p", []*Policy{p}).Bindings[0].Key
	}
	port := func(p int32) *v1alpha1.DestinationTLS {
		return &v1alpha1.DestinationTLS{Mode: v1alpha1.TLSOriginate, Port: &p, CABundleRef: &v1alpha1.CABundleReference{Name: "ca"}}
	}
	const plain = "shop/p host a.example:80"
	for name, tc := range map[string]struct {
		give *v1alpha1.DestinationTLS
		want string
	}{
		"nothing":             {nil, plain},
		"passed through":      {&v1alpha1.DestinationTLS{Mode: v1alpha1.TLSPassthrough}, plain},
		"intercepted":         {&v1alpha1.DestinationTLS{Mode: v1alpha1.TLSIntercept, CABundleRef: &v1alpha1.CABundleReference{Name: "ca"}}, plain},
		"TLS":                 {originating(&v1alpha1.CABundleReference{Name: "ca"}, "").TLS, "shop/p host a.example tls:80"},
		"with another bundle": {originating(&v1alpha1.CABundleReference{Name: "ca2"}, "").TLS, "shop/p host a.example tls:80"},
		"on a port":           {port(443), "shop/p host a.example tls :443:80"},
		"on another":          {port(8443), "shop/p host a.example tls :8443:80"},
	} {
		if got := keyOf(tc.give); got != tc.want {
			t.Errorf("%s: the key is %q, want %q", name, got, tc.want)
		}
	}
}

// A manager that comes to lead, and finds that what a policy refers to has gone, keeps the policy's calls from being made in plain text.
func TestALastGoodVersionKeepsItsReferences(t *testing.T) {
	src := Source{ID: policy.ParseID("shop/p"), Generation: 2, InForce: 2, To: to(originating(&v1alpha1.CABundleReference{Name: "gone"}, "gone")), Body: &v1alpha1.PolicyBody{}}
	p := RestoreLastGood(src, services)
	if p == nil {
		t.Fatal("nothing was restored")
	}
	want := policy.TLS{Mode: policy.TLSOriginate, Roots: "ConfigMap/shop/gone/ca.crt", Certificate: "shop/gone"}
	if got := Compile("p", []*Policy{p}).Bindings[0].To.TLS; got != want {
		t.Errorf("%+v", got)
	}
}

// What an object holds is parsed once, and judged by the time each time.
func TestAnObjectIsParsedOnce(t *testing.T) {
	client := newCertificate(t, "client", year, time.Hour)
	now := noon
	r := NewReferent(map[string][]byte{"tls.crt": client.chain, "tls.key": client.key, "ca.crt": client.chain})
	find := func(Reference) Referent {
		at := r
		at.Now = now
		return at
	}
	src := Source{ID: policy.ParseID("shop/p"), To: to(originating(&v1alpha1.CABundleReference{Name: "x"}, "x"))}
	first := MaterialsOf(&src, find)
	again := MaterialsOf(&src, find)
	if len(first) != 2 || &first[0].Roots.Certificates[0][0] != &again[0].Roots.Certificates[0][0] || &first[1].KeyPair.Key[0] != &again[1].KeyPair.Key[0] {
		t.Error("it is parsed again")
	}
	now = noon.Add(time.Hour)
	if late := MaterialsOf(&src, find); len(late) > 0 {
		t.Errorf("%d materials are usable after their end", len(late))
	}
}
