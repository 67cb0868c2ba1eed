package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestSecretsInTexts(t *testing.T) {
	for _, text := range []string{
		"token=hunter2", "--token=hunter2", "x-auth-token: hunter2", "passphrase=hunter2", "pwd=hunter2", `password="a hunter2"`, `"password": "a b,hunter2"`,
		`{\"password\":\"a hunter2\"}`, "password='a hunter2'", "password=a,hunter2", "Cookie: a=b; c=hunter2", `Authorization: Digest username="x", response="hunter2"`,
		"PRIVATE_KEY=hunter2", "db.credentials=hunter2", `password="a hunter2`,
	} {
		r := newRedactor(nil)
		if got := string(r.text([]byte(text + "\nnext line"))); strings.Contains(got, "hunter2") || !strings.HasSuffix(got, "\nnext line") || r.counts["password"] == 0 {
			t.Errorf("%s became %s, %v", text, got, r.counts)
		}
	}
	for _, text := range []string{`"secret": {"secretName": "ca"}`, "tokens: 3 of 4", "secretName: ca", `{"compassword":`} {
		if got := string(newRedactor(nil).text([]byte(text))); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
}

func redacted(t *testing.T, r *redactor, name, text string) string {
	t.Helper()
	f := &file{name: name, text: []byte(text)}
	r.learn(f)
	got := r.file(f)
	if strings.HasSuffix(name, ".json") && !json.Valid(got) {
		t.Errorf("%s became no JSON: %s", text, got)
	}
	return string(got)
}

func TestSecretsInValues(t *testing.T) {
	got := redacted(t, newRedactor(nil), "pods.json", `[{"volumes": [{"name": "ca", "secret": {"secretName": "fairlead-ca"}}], "token": "hunter2", "n": 9007199254740993,
		"args": ["--log-level=debug", "--password", "hunter2", "--x-auth-token=hunter2", "run"], "headers": [{"name": "X-Api-Key", "value": "hunter2"}],
		"tokens": ["a"], "apiKey": ["hunter2"], "quoted": "{\"password\": \"a hunter2\"}", "password": null}]`)
	if strings.Contains(got, "hunter2") {
		t.Errorf("redacted to %s", got)
	}
	for _, has := range []string{`"secretName": "fairlead-ca"`, "9007199254740993", `"--log-level=debug"`, `"run"`, `"password": null`} {
		if !strings.Contains(got, has) {
			t.Errorf("%s is not in %s", has, got)
		}
	}
}

func TestAnnotationsThatAreNotKnownAreRemoved(t *testing.T) {
	v := strip(map[string]any{"annotations": map[string]any{
		"example.com/a": "hunter2", "plain": "hunter2", "notkubernetes.io/a": "hunter2", "kubernetes.io/b": "stays", "x.fairlead.dev/c": "stays",
	}}, "metadata")
	text := fmt.Sprint(v)
	if strings.Contains(text, "hunter2") || strings.Count(text, "stays") != 2 {
		t.Errorf("stripped to %s", text)
	}
}

func TestPathsAreRemovedFromLogs(t *testing.T) {
	got := redacted(t, newRedactor(nil), "a.log", `2026-11-27T11:59:00Z {"msg":"call","path":"/orders/4711","n":1}
2026-11-27T11:59:00Z "msg":"call","path":"/orders/4711","n":2
2026-11-27T11:59:00Z {"call":{"path":"/orders/4711"}}
2026-11-27T11:59:00Z {"msg":"cut","path":"/orders/4711`)
	if strings.Contains(got, "4711") || strings.Count(got, removed) != 4 || !strings.Contains(got, `"n":2`) {
		t.Errorf("redacted to\n%s", got)
	}
}

func TestNamesAreReplacedAndFieldsStay(t *testing.T) {
	r := newRedactor([]byte("0123456789abcdef"))
	r.node("node")
	r.node("web")
	r.node("Worker-7")
	names := redacted(t, r, "a.json", `[{"image": "registry.corp.example/fairlead/agent:v1", "args": ["--otlp-endpoint=otel.corp.example:4317", "http://collector.corp.example/v1"],
		"hosts": ["A.corp.example", "*.b.corp.example"], "source": {"host": "event-node"}, "regarding": {"kind": "Node", "name": "other-node"}, "node": "node",
		"text": "A.CORP.EXAMPLE and x.b.corp.example on web, event-node, other-node and static-worker-7 by nodes of website", "A.corp.example:443": {"web": 1}}]`)
	for _, gone := range []string{"corp.example", "CORP", "event-node", "other-node", "worker-7", " web,", `: "node"`} {
		if strings.Contains(names, gone) {
			t.Errorf("%s is in %s", gone, names)
		}
	}
	for _, stays := range []string{`"node": "node-`, `"web": 1`, "nodes of website", "/fairlead/agent:v1", "x.host-", "static-node-"} {
		if !strings.Contains(names, stays) {
			t.Errorf("%s is not in %s", stays, names)
		}
	}
}

func TestTheNewestLinesOfALogAreKept(t *testing.T) {
	line := func(i int) string { return fmt.Sprintf("line %d\n", i) }
	var all strings.Builder
	for i := range 10000 {
		all.WriteString(line(i))
	}
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		from   io.Reader
		most   int
		cut    bool
		err    error
		begins string
		ends   string
	}{
		"whole":     {strings.NewReader(all.String()), 1 << 20, false, nil, line(0), line(9999)},
		"long":      {strings.NewReader(all.String()), 100, true, nil, line(9991), line(9999)},
		"by bytes":  {iotest.OneByteReader(strings.NewReader(all.String())), 1000, true, nil, "line 99", line(9999)},
		"one line":  {strings.NewReader(strings.Repeat("x", 1000)), 10, true, nil, "", ""},
		"no end":    {strings.NewReader("a\nb"), 10, false, nil, "a\n", "b"},
		"breaks":    {io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 10, false, broken, "a\n", "a\n"},
		"an error":  {iotest.ErrReader(broken), 10, false, broken, "", ""},
		"none":      {strings.NewReader(""), 10, false, nil, "", ""},
		"two lines": {strings.NewReader("a\nbbbbbbbbb\n"), 10, true, nil, "", ""},
	} {
		text, cut, err := tail(tc.from, tc.most)
		if !errors.Is(err, tc.err) || cut != tc.cut || len(text) > tc.most || !strings.HasPrefix(string(text), tc.begins) || !strings.HasSuffix(string(text), tc.ends) {
			t.Errorf("%s: %d bytes, %.20q, cut %t, %v", name, len(text), text, cut, err)
		}
	}
}

// roundTrip stands for the way to a pod.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A pod that hangs, or whose log does, is listed as missing, and nothing else is.
func TestWhatHangsLeavesTheRest(t *testing.T) {
	c := cluster(t, nil)
	c.Add("fairlead-agent", "agent-0", "worker-6", nil)
	c.Add("fairlead-manager", "manager-0", "worker-6", nil)
	hangs := func(p *corev1.Pod) bool { return strings.HasSuffix(p.Name, "-0") }
	of := parts{
		reach: func(p *corev1.Pod, _ uint16) (*http.Client, func(), error) {
			return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if hangs(p) {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"of":"` + p.Name + `"}`))}, nil
			})}, func() {}, nil
		},
		logs: func(ctx context.Context, p *corev1.Pod, o *corev1.PodLogOptions) (io.ReadCloser, error) {
			if hangs(p) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return io.NopCloser(strings.NewReader("a line\n")), nil
		},
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		files, m := gatheredBy(t, c, of)
		if took := time.Since(began); took != 3*eachRequest { // for what doctor asks, for the logs, and then for a manager and an agent at the same time
			t.Errorf("it took %s", took)
		}
		for _, has := range []string{"live/manager/inventory.json", "live/agents/worker-7/breakers.json", "logs/agent-1/main.log", "logs/manager-1/main.log"} {
			if files[has] == "" {
				t.Errorf("%s is not there: %v", has, m.Missing)
			}
		}
		for _, lost := range []string{"live/agents/worker-6/breakers.json", "logs/agent-0/main.log"} {
			if i := slices.IndexFunc(m.Missing, func(l missing) bool { return l.What == lost }); i < 0 || !strings.Contains(m.Missing[i].Why, "within 10s") {
				t.Errorf("%s is not missing for its reason: %v", lost, m.Missing)
			}
		}
	})
}
