package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/cli/kube"
)

const (
	shop  = "../testdata/shop.yaml"
	nodes = "testdata/nodes.yaml"
	well  = "testdata/well.yaml"
)

// authority returns a file with the ConfigMap of an authority whose certificate is good until a time.
func authority(t *testing.T, until time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	path := filepath.Join(t.TempDir(), "ca.yaml")
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fairlead-ca, namespace: fairlead-system}\ndata:\n  ca.crt: |\n    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsPrinted(t *testing.T) {
	good, soon, over := clitest.Now.AddDate(1, 0, 0), clitest.Now.AddDate(0, 0, 3), clitest.Now.AddDate(0, 0, -1)
	for name, tc := range map[string]struct {
		files []string
		live  func(*asktest.Cluster)
		args  []string
		fails bool
	}{
		"doctor":           {[]string{shop, nodes, authority(t, soon)}, troubled, nil, true},
		"doctor-well":      {[]string{well, authority(t, good)}, healthy, nil, false},
		"doctor-json":      {[]string{well, authority(t, good)}, healthy, []string{"-o", "json"}, false},
		"doctor-earlier":   {[]string{well, authority(t, good)}, earlier, nil, false},
		"doctor-refused":   {[]string{well, authority(t, good)}, func(*asktest.Cluster) {}, nil, false},
		"doctor-expired":   {[]string{well, authority(t, over)}, ended, []string{"-o", "yaml"}, true},
		"doctor-installed": {[]string{authority(t, good)}, func(*asktest.Cluster) {}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, errOut := clitest.Env(t, tc.files...)
			live := asktest.New(t)
			tc.live(live)
			if err := clitest.Run(t, env, newCommand(env, live.Reach), tc.args...); (err != nil) != tc.fails {
				t.Errorf("error %v", err)
			}
			clitest.Golden(t, name, out.String()+errOut.String())
		})
	}
}

func TestFixesNameTheNamespaceThatFairleadIsIn(t *testing.T) {
	env, _, _ := clitest.Env(t)
	env.System = "mesh"
	k := checker{Report: &Report{}, env: env}
	if fix := k.fix(v1alpha1.ReasonNodesDisconnected); !strings.Contains(fix.do, "kubectl -n mesh get pods") || fix.see == "" {
		t.Errorf("fix: %+v", fix)
	}
}

// Findings lead to the docs that the flag names, or else the manager's Deployment, or else the published ones.
func TestWhereTheDocsAre(t *testing.T) {
	for name, tc := range map[string]struct {
		annotation string
		args       []string
		leads      string
	}{
		"the published ones":            {"", nil, "https://fairlead.dev/docs/"},
		"those of the installation":     {"https://docs.corp.example/fairlead/", nil, "https://docs.corp.example/fairlead/"},
		"those of the flag":             {"https://docs.corp.example/fairlead", []string{"--docs-url", "http://localhost:8080"}, "http://localhost:8080/"},
		"an annotation that is no URL":  {"javascript:alert(1)", nil, "https://fairlead.dev/docs/"},
		"an annotation that has a part": {"https://docs.corp.example/#", nil, "https://fairlead.dev/docs/"},
	} {
		env, out, _ := clitest.Env(t, shop, nodes)
		c, err := env.Client()
		if err != nil {
			t.Fatal(err)
		}
		var d appsv1.Deployment
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: kube.DefaultSystem, Name: "fairlead-manager"}, &d); err != nil {
			t.Fatal(err)
		}
		d.Annotations = map[string]string{kube.DocsAnnotation: tc.annotation}
		if err := c.Update(t.Context(), &d); err != nil {
			t.Fatal(err)
		}
		if err := clitest.Run(t, env, newCommand(env, asktest.New(t).Reach), tc.args...); err == nil {
			t.Errorf("%s: nothing is wrong", name)
		}
		if all := strings.Count(out.String(), "see: "); all == 0 || strings.Count(out.String(), "see: "+tc.leads) != all {
			t.Errorf("%s: printed\n%s", name, out)
		}
	}
	for _, docs := range []string{"docs.example", "ftp://docs.example", "https://", "https://a/?b", "https://me@a", "%"} {
		env, _, _ := clitest.Env(t)
		if err := clitest.Run(t, env, newCommand(env, nil), "--docs-url", docs); err == nil || !strings.Contains(err.Error(), "write it as https://fairlead.dev/docs") {
			t.Errorf("%q: %v", docs, err)
		}
	}
}
