package apivalidation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// saidAnyway is what the conditions of policies that users read say of them, where it cannot be otherwise, and the page or the sample explains it. Everything
// else that a condition would say is a mistake in what is shown.
var saidAnyway = map[string][]string{
	"docs/concepts/fail-open.md": {"to[0].host: Encrypted"},
	"database.yaml":              {"to[0].cidr.protocol: OpaqueProtocol"},
	"through-a-proxy.yaml":       {"to[0].host: Encrypted", "to[1].host: Encrypted"},
}

// What users read is what works: the API server takes every policy that the samples and the pages show, as strictly as kubectl does, and the
// manager accepts it, enforces every field and warns of nothing.
func TestEveryPolicyShownWorks(t *testing.T) {
	needAPIServer(t)
	all := everyPolicyShown(t)
	if len(all) < 30 {
		t.Fatalf("only %d policies are shown", len(all))
	}
	found := referents(t)
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			fresh := s.policy.DeepCopy()
			fresh.SetName("shown") // other tests keep the samples under their names
			mustAccept(t, fresh)
			got := conditions(t, s.policy, found)
			name, _, _ := strings.Cut(s.name, ":")
			got = slices.DeleteFunc(got, func(sentence string) bool { return slices.Contains(saidAnyway[name], sentence) })
			for _, sentence := range got {
				t.Errorf("its conditions would say: %s", sentence)
			}
		})
	}
}

// The test above fails for what is wrong: a typing mistake, a value that is refused, a field without effect, a combination that is not meant, an
// expression that is too large.
func TestWhatIsWrongWithAPolicyShownIsSeen(t *testing.T) {
	needAPIServer(t)
	found := referents(t)
	for text, want := range map[string]string{
		"rateLimits: {requests: 5}":                                                                                      "unknown field",
		"timeouts: {perTry: 3s, overall: 2s}":                                                                            "shorten perTry",
		"timeouts: {perTry: 2s, overall: 5s}\nretry: {maxRetries: 10}":                                                   "overall",
		"to: [{host: api.example.com, ports: [443]}]\nconcurrency: {max: 5}":                                             "concurrency: Encrypted",
		"rules: [{name: r, match: [{path: {type: RegularExpression, value: 'a{1000}'}}], timeouts: {perTry: 1s}}]":       "Invalid",
		"to: [{host: api.example.com, ports: [80], protocol: HTTP, tls: {mode: Originate, caBundleRef: {name: of-no}}}]": "ReferenceNotFound",
	} {
		u := policyOf(t, "here", text)
		said := conditions(t, u, found)
		if err := send(t, u.DeepCopy()); err != nil {
			said = append(said, err.Error())
		}
		if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%s: only %q is said, want %q", text, said, want)
		}
	}
}

// conditions returns what the conditions of a policy would say: why it is not accepted, which fields are not enforced and why, and warnings.
func conditions(t *testing.T, u *unstructured.Unstructured, found compile.FindReference) (said []string) {
	t.Helper()
	src, err := sourceOf(u)
	if err != nil {
		return []string{err.Error()}
	}
	_, problems := compile.Read(src, everyService, found)
	for _, p := range problems {
		said = append(said, p.Reason+": "+p.Message)
	}
	for _, f := range compile.UnenforcedFields(&src) {
		said = append(said, f.Field+": "+f.Reason)
	}
	return append(said, compile.Warnings(&src)...)
}

func sourceOf(u *unstructured.Unstructured) (compile.Source, error) {
	text, err := yaml.Marshal(u.Object)
	if err != nil {
		return compile.Source{}, err
	}
	if u.GetKind() == v1alpha1.ClusterRetryPolicyKind {
		p := &v1alpha1.ClusterRetryPolicy{}
		err := yaml.UnmarshalStrict(text, p)
		return compile.FromClusterRetryPolicy(p), err
	}
	p := &v1alpha1.RetryPolicy{}
	err = yaml.UnmarshalStrict(text, p)
	return compile.FromRetryPolicy(p), err
}

// everyService finds every Service, with the ports that samples name.
func everyService(string) (*compile.Service, bool) {
	return &compile.Service{Ports: []compile.ServicePort{{Name: "http", Port: 80}, {Name: "grpc", Port: 50051}, {Name: "postgres", Port: 5432}}}, true
}

// referents finds every ConfigMap and Secret but those named of-no, with usable content.
func referents(t *testing.T) compile.FindReference {
	t.Helper()
	chain, key := selfSigned(t)
	there := compile.NewReferent(map[string][]byte{
		"ca.crt": chain, "tls.crt": chain, "tls.key": key, "username": []byte("shop"), "password": []byte("secret"),
	})
	there.Now = time.Now()
	return func(r compile.Reference) compile.Referent {
		if r.Name == "of-no" {
			return compile.Referent{Now: there.Now}
		}
		return there
	}
}

// selfSigned returns a certificate that is valid for a year, and its key, in PEM.
func selfSigned(t *testing.T) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(fmt.Errorf("encode the key: %w", err))
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}
