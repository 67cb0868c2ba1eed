package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/liveapi"
)

// secrets must be in no archive.
var secrets = []string{ //nolint:gochecknoglobals // what tests look for
	"s3cr3t-value", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl", "MIIEvQIBADANBg", "hunter2hunter2", "card=4711", "env-value", "own-body", "bob:pass", "/orders/4711",
}

const private = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"

func objects() []client.Object {
	body := "own-body"
	return []client.Object{
		&v1alpha1.RetryPolicy{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: "payments",
				Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"value":"s3cr3t-value"}`},
			},
			Spec: v1alpha1.RetryPolicySpec{
				To: []v1alpha1.Destination{{Host: "api.payments.example"}, {Host: "*.ledger.example"}},
				PolicyBody: v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{
					Retry:    &v1alpha1.Retry{ResponseHeaders: []v1alpha1.HeaderMatch{{Name: "x-retry", Value: "s3cr3t-value"}}},
					Fallback: &v1alpha1.Fallback{Response: &v1alpha1.FallbackResponse{Body: body}},
				}},
			},
		},
		&corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "worker-7"},
			Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KernelVersion: "6.12.0", MachineID: "s3cr3t-value", KubeletVersion: "v1.36.0"}},
		},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: "fairlead-ca"}, Data: map[string][]byte{"tls.key": []byte(private)}},
		&corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments.1"}, Reason: "BreakerOpened", Message: "open at 192.0.2.7",
			InvolvedObject: corev1.ObjectReference{Kind: "RetryPolicy", Name: "payments"},
		},
		&corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "other.1"}, Message: "of-another-object", InvolvedObject: corev1.ObjectReference{Kind: "Pod"}},
	}
}

const agentLog = `2026-11-27T11:59:00Z {"msg":"call","host":"api.payments.example","path":"/orders/4711","peer":"192.0.2.7:443","to":"192.0.2.7:443"}
2026-11-27T11:59:01Z {"level":"WARN","msg":"Authorization: Bearer hunter2hunter2 password=hunter2hunter2"}
2026-11-27T11:59:01Z {"level":"WARN","msg":"https://bob:pass@proxy.example/x?card=4711"}
2026-11-27T11:59:02Z eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl ` + private + "\n"

// logs has the same log for all containers, and forbids those of one pod.
func logs(_ context.Context, p *corev1.Pod, o *corev1.PodLogOptions) (io.ReadCloser, error) {
	if p.Name == "manager-1" {
		return nil, errors.New("pods/log is forbidden")
	}
	if *o.TailLines != 2000 || o.LimitBytes != nil {
		return nil, fmt.Errorf("asked for %d lines, %v bytes", *o.TailLines, o.LimitBytes)
	}
	return io.NopCloser(strings.NewReader(agentLog)), nil
}

func answer(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { liveapi.Answer(w, v) }
}

// cluster is one with everything, of which some is refused.
func cluster(t *testing.T, refused func(client.ObjectList) error) *asktest.Cluster {
	t.Helper()
	c := asktest.New(t, objects()...)
	manager, agent := http.NewServeMux(), http.NewServeMux()
	manager.HandleFunc(liveapi.InventoryPath, answer(liveapi.Inventory{Flows: []liveapi.Flow{{Destination: "search.example:80", Calls: 7}}}))
	manager.HandleFunc(liveapi.TrafficPath, answer(liveapi.List[int]{}))
	manager.HandleFunc(liveapi.NodesPath, answer(liveapi.List[int]{}))
	manager.HandleFunc(liveapi.ChangesPath, answer(liveapi.List[int]{}))
	for _, path := range []string{liveapi.PoliciesPath, liveapi.BreakersPath, liveapi.EndpointsPath, liveapi.LimitsPath} {
		agent.HandleFunc(path, answer(liveapi.List[int]{Node: "worker-7"}))
	}
	c.Add("fairlead-manager", "manager-1", "worker-7", manager)
	c.Add("fairlead-agent", "agent-1", "worker-7", agent)
	c.Env.Now = func() time.Time { return clitest.Now }
	connect := c.Env.Connect
	c.Env.Connect = func() (client.WithWatch, error) {
		of, err := connect()
		if err != nil {
			return nil, err
		}
		return interceptor.NewClient(of, interceptor.Funcs{
			List: func(ctx context.Context, w client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
				if _, ok := list.(*corev1.SecretList); ok {
					t.Error("Secrets are listed")
				}
				if refused != nil {
					if err := refused(list); err != nil {
						return err
					}
				}
				if err := w.List(ctx, list, o...); err != nil {
					return err
				}
				if pods, ok := list.(*corev1.PodList); ok {
					for i := range pods.Items {
						pods.Items[i].Spec.Containers = []corev1.Container{{Name: "main", Env: []corev1.EnvVar{{Name: "A", Value: "env-value"}}}}
						pods.Items[i].Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", RestartCount: 1}}
					}
				}
				return nil
			},
			Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
				if _, ok := o.(*corev1.Secret); ok {
					t.Error("a Secret is read")
				}
				return w.Get(ctx, key, o, options...)
			},
		}), nil
	}
	return c
}

// gathered runs the command and returns the files of what it writes.
func gathered(t *testing.T, c *asktest.Cluster, args ...string) (files map[string]string, m manifest) {
	t.Helper()
	return gatheredBy(t, c, parts{reach: c.Reach, logs: logs}, args...)
}

func gatheredBy(t *testing.T, c *asktest.Cluster, of parts, args ...string) (files map[string]string, m manifest) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "bundle.tar.gz")
	cmd := newCommand(c.Env, "v0.9.0", of)
	cmd.SetArgs(append([]string{"--file", to}, args...))
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		of, err := io.ReadAll(r)
		if err != nil || h.Mode != 0o600 {
			t.Fatal(h, err)
		}
		files[strings.TrimPrefix(h.Name, "fairlead-support/")] = string(of)
	}
	if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil {
		t.Fatal(err)
	}
	return files, m
}

func noSecrets(t *testing.T, files map[string]string, more ...string) {
	t.Helper()
	for name, text := range files {
		for _, s := range slices.Concat(secrets, more) {
			if strings.Contains(text, s) || strings.Contains(name, s) {
				t.Errorf("%s has %q:\n%s", name, s, text)
			}
		}
	}
}

func TestABundleHasWhatHelpsAndNoSecrets(t *testing.T) {
	c := cluster(t, nil)
	files, m := gathered(t, c)
	noSecrets(t, files)
	for name, has := range map[string]string{
		"policies/retrypolicies.yaml": "api.payments.example", "nodes.json": "6.12.0", "events/policies.json": "BreakerOpened", "doctor.json": "findings",
		"live/manager/inventory.json": "search.example", "live/agents/worker-7/breakers.json": "worker-7", "live/agents/worker-7/limits.json": "worker-7", "logs/agent-1/main.log": "api.payments.example",
		"logs/agent-1/main.previous.log": "api.payments.example", "fairlead/pods.json": "agent-1",
	} {
		if !strings.Contains(files[name], has) {
			t.Errorf("%s does not have %q: %s", name, has, files[name])
		}
	}
	if strings.Contains(files["events/policies.json"], "of-another-object") {
		t.Error("Events of other objects are gathered")
	}
	listedNames := map[string]bool{"manifest.json": true}
	for _, f := range m.Files {
		listedNames[f.Name] = true
		if len(files[f.Name]) != f.Bytes {
			t.Errorf("the manifest gives %d bytes for %s, which has %d", f.Bytes, f.Name, len(files[f.Name]))
		}
	}
	for name := range files {
		if !listedNames[name] {
			t.Errorf("the manifest does not list %s", name)
		}
	}
	var lost []string
	for _, l := range m.Missing {
		lost = append(lost, l.What)
	}
	for _, want := range []string{"versions.json", "logs/manager-1/main.log", "live/agents/worker-7/capture.json"} {
		if !slices.Contains(lost, want) || !strings.Contains(c.Err.String(), "Missing: "+want) {
			t.Errorf("%s is not listed as missing: %v", want, lost)
		}
	}
	for _, kind := range []string{"private key", "token", "credentials", "password", "query"} {
		if m.Redacted[kind] == 0 {
			t.Errorf("no %s was redacted: %v", kind, m.Redacted)
		}
	}
}

func TestNamesAreReplacedByTheSamePseudonyms(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, m := gathered(t, cluster(t, nil), "--anonymize", "--anonymize-key", key)
	noSecrets(t, files, "payments.example", "ledger.example", "search.example", "worker-7", "192.0.2.7")
	again, _ := gathered(t, cluster(t, nil), "--anonymize", "--anonymize-key", key)
	for name, text := range files {
		if again[name] != text {
			t.Errorf("%s is another with the same key", name)
		}
	}
	if !m.Anonymized || !strings.Contains(files["logs/agent-1/main.log"], "host-") || !strings.Contains(files["nodes.json"], "node-") {
		t.Errorf("there are no pseudonyms: %s", files["nodes.json"])
	}
	other, _ := gathered(t, cluster(t, nil), "--anonymize")
	if other["nodes.json"] == files["nodes.json"] {
		t.Error("pseudonyms are the same with another key")
	}
}

// Who may see little gets that, and the reason why there is no more.
func TestPartialRightsAreEnough(t *testing.T) {
	forbidden := func(list client.ObjectList) error {
		switch list.(type) {
		case *corev1.NodeList, *corev1.EventList, *corev1.PodList:
			return apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New("no right"))
		}
		return nil
	}
	files, m := gathered(t, cluster(t, forbidden))
	if files["policies/retrypolicies.yaml"] == "" || files["nodes.json"] != "" {
		t.Errorf("gathered %v", m.Files)
	}
	for _, l := range m.Missing {
		if l.Why == "" {
			t.Errorf("%s is missing for no reason", l.What)
		}
	}
	if len(m.Missing) < 8 {
		t.Errorf("missing are %v", m.Missing)
	}
}

func TestSizeIsBounded(t *testing.T) {
	a := &archive{}
	a.add("long", "", bytes.Repeat([]byte("x"), maxFile+1))
	if f := a.files[0]; !f.cut || len(f.text) != maxFile {
		t.Errorf("a long file has %d bytes", len(f.text))
	}
	for i := range 20 {
		a.add(fmt.Sprint(i), "", make([]byte, maxFile))
	}
	if a.size > maxAll || len(a.missing) != 13 {
		t.Errorf("%d bytes, %d missing", a.size, len(a.missing))
	}
}

func TestWhatIsWrittenIsNotOverwritten(t *testing.T) {
	to := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(to, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"file exists": {"--file", to}, "from 0 to 1000": {"--agents", "-1"}, "which there are with --anonymize": {"--anonymize-key", to},
		"16 at least": {"--anonymize", "--anonymize-key", to}, "1s or more": {"--timeout", "1ms"}, "from 1 to 100000": {"--log-lines", "0"},
	} {
		c := cluster(t, nil)
		cmd := newCommand(c.Env, "v0.9.0", parts{reach: c.Reach, logs: logs})
		cmd.SetArgs(args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if text, err := os.ReadFile(to); err != nil || string(text) != "mine" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

// Logs are read from some line on, and long files are cut, so that only a part of a key may be there.
func TestPartsOfKeysAreRedacted(t *testing.T) {
	for _, text := range []string{
		private[7:], "PRIVATE KEY-----\nMIIEvQIBADANBg", "MIIEvQIBADANBg\n-----END PRIVATE KEY-----", `ADANBg\nMIIEvQ\r\n-----END RSA PRIVATE KEY-----`,
		"token=" + private, "-----BEGIN " + private, private[:len(private)-20],
	} {
		r := newRedactor(nil)
		after := string(r.text([]byte("at first\n\n(" + text + ") and then")))
		if strings.Contains(after, "MII") || strings.Contains(after, "ADANBg") || !strings.HasPrefix(after, "at first\n\n(") || r.counts["private key"] == 0 {
			t.Errorf("%q becomes %q, %v", text, after, r.counts)
		}
	}
}

// No text gets a key past redaction, and none grows without end.
func FuzzRedaction(f *testing.F) {
	f.Add([]byte(agentLog))
	f.Add([]byte("password: a token=b http://a:b@c/d?e=f ::1 10.0.0.1"))
	const body = "MIIEvQIBADANBg"
	f.Fuzz(func(t *testing.T, text []byte) {
		text = bytes.ReplaceAll(text, []byte("M"), nil) // The only one is the key's.
		r := newRedactor([]byte("0123456789abcdef"))
		half := len(text) / 2
		with := slices.Concat(text[:half], []byte(private), text[half:])
		if bytes.Contains(r.text(with), []byte(body)) {
			t.Errorf("redacted to %q", r.text(with))
		}
		if once := r.text(text); len(once) > 24*len(text)+64 {
			t.Errorf("%d bytes became %d", len(text), len(once))
		}
	})
}
