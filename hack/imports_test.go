// Package hack_test checks what no compiler checks about the tree: imports, docs, words.
package hack_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "fairlead.dev/fairlead/"

// packages says which of our packages each may import, as docs/architecture.md does. A trailing /... stands for a package and those below it.
var packages = map[string][]string{
	"api/v1alpha1":                {},
	"internal/policy":             {},
	"internal/cgroup":             {},
	"internal/liveapi":            {},
	"internal/wire":               {"internal/policy", "internal/wire/..."},
	"internal/controller/compile": {"api/v1alpha1", "internal/policy"},
	"internal/controller/rollout": {"api/v1alpha1"},
	"internal/controller/index":   {"api/v1alpha1", "internal/policy", "internal/controller/compile", "internal/controller/rollout"},
	"internal/controller/status": {"api/v1alpha1", "internal/policy", "internal/controller/compile", "internal/controller/distribute",
		"internal/controller/index", "internal/controller/rollout", "internal/wire"},
	"internal/controller/verdicts": {"internal/policy"},
	"internal/controller/distribute": {"internal/policy", "internal/wire/...", "internal/controller/verdicts", "internal/controller/shares",
		"internal/controller/distribute/..."},
	"internal/controller/distribute/ca": {},
	"internal/controller/inventory":     {"internal/policy"},
	"internal/controller/changes":       {"internal/liveapi"},
	"internal/controller/live": {"internal/policy", "internal/liveapi", "internal/controller/distribute", "internal/controller/inventory",
		"internal/controller/changes"},
	"internal/controller/egress":     {"internal/controller/distribute/ca"},
	"internal/controller/shares":     {},
	"internal/controller/references": {"api/v1alpha1", "internal/controller/compile"},
	"internal/controller":            {"api/v1alpha1", "internal/policy", "internal/controller/...", "internal/liveapi"},
	"internal/agent/resilience":      {"internal/policy"},
	"internal/agent/call":            {"internal/policy", "internal/agent/resilience"},
	"internal/agent/transport":       {},
	"internal/agent/upstream": {"internal/agent/transport", "internal/policy", "internal/agent/resilience", "internal/agent/call",
		"internal/agent/panics"},
	"internal/agent/transport/tlslayer": {"internal/agent/transport"},
	"internal/agent/dns":                {},
	"internal/agent/panics":             {},
	"internal/agent/intercept":          {},
	"internal/agent/tracing":            {},
	"internal/agent/connectproxy":       {},
	"internal/agent/capture/netns":      {},
	"internal/agent/capture/pods":       {},
	"internal/agent/capture/socketlb":   {},
	"internal/agent/capture/nsnetlink":  {"internal/agent/capture/netns"},
	"internal/agent/capture/sockdiag":   {"internal/agent/capture/netns", "internal/agent/capture/nsnetlink"},
	"internal/agent/capture/intent":     {"internal/policy"},
	"internal/agent/capture/mechanism":  {"internal/agent/capture/intent", "internal/agent/capture/netns"},
	"internal/agent/capture/conntrack": {"internal/agent/capture/mechanism", "internal/agent/capture/netns", "internal/agent/capture/nsnetlink",
		"internal/agent/capture/sockdiag"},
	"internal/agent/capture/nft": {"internal/agent/capture/conntrack", "internal/agent/capture/intent", "internal/agent/capture/mechanism", "internal/agent/capture/netns",
		"internal/agent/capture/nsnetlink", "internal/agent/capture/sockdiag"},
	"internal/agent/capture/kernel": {"internal/agent/capture/netns", "internal/agent/capture/nft"},
	"internal/agent/capture": {"internal/policy", "internal/agent/capture/intent", "internal/agent/capture/mechanism", "internal/agent/capture/netns",
		"internal/agent/capture/pods", "internal/agent/capture/sockdiag", "internal/agent/transport"},
	"internal/agent/routes": {"internal/policy", "internal/agent/capture/intent", "internal/agent/resilience", "internal/agent/call", "internal/agent/upstream",
		"internal/agent/transport", "internal/agent/transport/tlslayer", "internal/agent/connectproxy", "internal/agent/intercept", "internal/agent/tracing"},
	"internal/agent/proxy": {"internal/policy", "internal/agent/resilience", "internal/agent/routes", "internal/agent/transport",
		"internal/agent/transport/tlslayer", "internal/agent/panics", "internal/agent/proxy/..."},
	"internal/agent/proxy/detect": {"internal/agent/transport", "internal/agent/panics"},
	"internal/agent/proxy/drive": {"internal/policy", "internal/agent/resilience", "internal/agent/call", "internal/agent/upstream", "internal/agent/routes",
		"internal/agent/transport", "internal/agent/transport/tlslayer", "internal/agent/connectproxy", "internal/agent/panics",
		"internal/agent/proxy/route", "internal/agent/proxy/grpc", "internal/agent/proxy/turns", "internal/agent/tracing"},
	"internal/agent/proxy/turns": {},
	"internal/agent/proxy/grpc":  {"internal/policy", "internal/agent/call"},
	"internal/agent/proxy/h1": {"internal/agent/resilience", "internal/agent/call", "internal/agent/upstream", "internal/agent/routes",
		"internal/agent/transport", "internal/agent/transport/tlslayer", "internal/agent/panics", "internal/agent/proxy/...", "internal/agent/tracing"},
	"internal/agent/proxy/h2": {"internal/policy", "internal/agent/resilience", "internal/agent/call", "internal/agent/upstream", "internal/agent/routes",
		"internal/agent/transport", "internal/agent/panics", "internal/agent/proxy/...", "internal/agent/tracing"},
	"internal/agent/proxy/http1":  {"internal/agent/call", "internal/agent/proxy/method", "internal/agent/proxy/syntax", "internal/agent/transport"},
	"internal/agent/proxy/http2":  {"internal/agent/proxy/syntax"},
	"internal/agent/proxy/method": {"internal/agent/call"},
	"internal/agent/proxy/route":  {"internal/policy", "internal/agent/routes", "internal/agent/proxy/grpc"},
	"internal/agent/proxy/syntax": {},
	"internal/agent/proxy/tunnel": {"internal/agent/call", "internal/agent/upstream", "internal/agent/routes", "internal/agent/transport", "internal/agent/panics",
		"internal/agent/proxy/drive"},
	"internal/agent/subscribe": {"internal/policy", "internal/wire/..."},
	"internal/agent/telemetry": {"internal/policy", "internal/agent/call", "internal/agent/resilience", "internal/agent/proxy/...",
		"internal/agent/routes", "internal/agent/transport/tlslayer", "internal/agent/upstream", "internal/agent/tracing", "internal/agent/telemetry/...", "internal/liveapi"},
	"internal/agent/telemetry/flows":           {"internal/policy", "internal/agent/call", "internal/agent/routes"},
	"internal/agent/telemetry/taps":            {"internal/policy", "internal/agent/call", "internal/agent/routes", "internal/agent/tracing", "internal/liveapi"},
	"internal/agent/telemetry/spans":           {"internal/policy", "internal/agent/call", "internal/agent/routes", "internal/agent/tracing", "internal/agent/telemetry/otlp"},
	"internal/agent/telemetry/logs":            {"internal/agent/telemetry/otlp"},
	"internal/agent/telemetry/otlp":            {},
	"internal/agent/telemetry/spans/spanstest": {},
	"internal/agent/telemetry/steps": {"internal/policy", "internal/agent/call", "internal/agent/upstream", "internal/agent/routes", "internal/agent/proxy/drive",
		"internal/agent/telemetry/taps", "internal/liveapi"},
	"internal/agent/onecall": {"internal/liveapi"},
	"internal/agent":         {"internal/policy", "internal/agent/...", "internal/liveapi"},
	"internal/cli":           {"internal/cli/..."},
	"internal/cli/output":    {},
	"internal/cli/kube":      {"api/v1alpha1", "internal/cli/output"},
	"internal/cli/status":    {"api/v1alpha1", "internal/cli/kube", "internal/cli/output"},
	"internal/cli/effective": {"api/v1alpha1", "internal/policy", "internal/controller/compile", "internal/cli/output"},
	"internal/cli/gather":    {"api/v1alpha1", "internal/controller/compile", "internal/cli/kube", "internal/cli/effective"},
	"internal/cli/explain": {"internal/policy", "internal/cli/kube", "internal/cli/output", "internal/cli/schema", "internal/cli/gather", "internal/cli/effective",
		"internal/agent/call", "internal/agent/proxy/method"},
	"internal/cli/describe": {"api/v1alpha1", "internal/policy", "internal/controller/compile", "internal/cli/kube", "internal/cli/output", "internal/cli/gather",
		"internal/cli/effective"},
	"internal/cli/importer":        {"api/v1alpha1", "internal/controller/compile", "internal/cli/kube", "internal/cli/output", "internal/cli/gather", "internal/cli/schema"},
	"internal/cli/doctor":          {"api/v1alpha1", "internal/cli/ask", "internal/cli/kube", "internal/cli/output", "internal/liveapi"},
	"internal/cli/clitest":         {"api/v1alpha1", "internal/cli/kube", "internal/cli/gather"},
	"internal/cli/ask":             {"internal/cli/kube", "internal/cli/output", "internal/liveapi"},
	"internal/cli/ask/asktest":     {"internal/cli/ask", "internal/cli/kube"},
	"internal/cli/bundle":          {"api/v1alpha1", "internal/cli/ask", "internal/cli/doctor", "internal/cli/kube", "internal/cli/output", "internal/liveapi"},
	"internal/cli/suggest":         {"api/v1alpha1", "internal/policy", "internal/cli/ask", "internal/cli/kube", "internal/cli/output", "internal/liveapi"},
	"internal/cli/screen":          {"internal/cli/output"},
	"internal/cli/schema":          {"config/crd"},
	"internal/cli/top":             {"internal/controller/compile", "internal/cli/ask", "internal/cli/kube", "internal/cli/output", "internal/cli/screen", "internal/liveapi"},
	"internal/cli/tap":             {"internal/cli/ask", "internal/cli/kube", "internal/cli/output", "internal/cli/screen", "internal/liveapi"},
	"internal/cli/endpoints":       {"internal/cli/ask", "internal/cli/kube", "internal/cli/output", "internal/liveapi"},
	"internal/cli/diff":            {"api/v1alpha1", "internal/policy", "internal/cli/kube", "internal/cli/output", "internal/cli/schema", "internal/cli/gather", "internal/cli/effective"},
	"internal/cli/trace":           {"internal/cli/ask", "internal/cli/kube", "internal/cli/output", "internal/cli/screen", "internal/liveapi"},
	"internal/cli/breakers":        {"api/v1alpha1", "internal/controller/compile", "internal/liveapi", "internal/cli/ask", "internal/cli/kube", "internal/cli/output"},
	"cmd/kubectl-fairlead":         {"internal/cli", "internal/cli/output"},
	"cmd/manager":                  {"api/v1alpha1", "internal/controller/...", "internal/cgroup"},
	"cmd/agent":                    {"internal/agent/...", "internal/cgroup", "internal/policy"},
	"cmd/dashboard":                {"internal/cgroup", "internal/cli/kube", "internal/dashboard", "internal/dashboard/assets", "internal/dashboard/cluster"},
	"internal/standalone/policies": {"api/v1alpha1", "internal/policy", "internal/controller/compile"},
	"internal/standalone/front":    {"internal/agent/transport"},
	"internal/standalone/figures":  {"internal/policy"},
	"internal/standalone/isolate":  {"internal/agent/capture/...", "internal/agent/transport"},
	"internal/cli/dashboard":       {"internal/cli/kube", "internal/dashboard", "internal/dashboard/assets", "internal/dashboard/cluster"},
	"internal/dashboard/model":     {"internal/liveapi"},
	"internal/dashboard/assets":    {},
	"internal/dashboard":           {"internal/liveapi", "internal/dashboard/model"},
	"internal/dashboard/cluster": {"api/v1alpha1", "internal/liveapi", "internal/dashboard", "internal/dashboard/model", "internal/cli/ask", "internal/cli/kube",
		"internal/cli/describe", "internal/cli/doctor", "internal/cli/effective", "internal/cli/status"},
	"internal/dashboard/generated": {"api/v1alpha1", "internal/policy", "internal/liveapi", "internal/dashboard/cluster", "internal/cli/ask", "internal/cli/kube",
		"internal/controller/changes", "internal/controller/distribute", "internal/controller/inventory", "internal/controller/live"},
	"internal/dashboard/generated/serve": {"internal/dashboard", "internal/dashboard/generated"},
	"internal/standalone": {"internal/policy", "internal/agent/dns", "internal/agent/proxy", "internal/agent/routes", "internal/agent/telemetry",
		"internal/agent/transport", "internal/agent/upstream", "internal/standalone/..."},
	"internal/cli/run": {"internal/standalone/...", "internal/agent/transport", "internal/cli/output", "internal/cli/screen"},
	"hack/try":         {"internal/cli/run"},
	"test/study": {"api/v1alpha1", "internal/policy", "internal/controller/compile", "internal/controller/shares", "internal/agent/call",
		"internal/agent/resilience"},
}

// pure packages must not import these; a trailing /... stands for all below.
var pure = map[string][]string{
	"internal/policy":             {"net", "net/http", "os", "log/slog", "k8s.io/...", "sigs.k8s.io/...", "google.golang.org/..."},
	"internal/controller/compile": {"net/http", "os", "log/slog", "sigs.k8s.io/controller-runtime/..."},
	"internal/controller/rollout": {"context", "net", "net/http", "os", "sync", "log/slog", "k8s.io/utils/clock", "sigs.k8s.io/..."},
	"internal/controller/index": {"context", "net", "net/http", "os", "time", "log/slog", "sigs.k8s.io/controller-runtime/pkg/client",
		"k8s.io/utils/clock"},
	"internal/controller/status": {"context", "net", "net/http", "os", "sync", "log/slog", "sigs.k8s.io/controller-runtime/pkg/client",
		"k8s.io/utils/clock"},
	"internal/wire":                 {"net", "net/http", "os", "syscall", "golang.org/x/sys/...", "log/slog", "github.com/prometheus/...", "k8s.io/...", "sigs.k8s.io/..."},
	"internal/cli/effective":        {"context", "net", "net/http", "os", "log/slog", "sigs.k8s.io/controller-runtime/..."},
	"internal/agent/resilience":     {"net", "net/http", "os", "log/slog", "github.com/prometheus/..."},
	"internal/agent/capture/intent": {"context", "net", "net/http", "os", "sync", "syscall", "golang.org/x/sys/...", "log/slog"},
	"internal/agent/proxy/method":   {"context", "io", "net", "net/http", "os", "sync", "syscall", "log/slog"},
	"internal/agent/proxy/route":    {"context", "io", "net", "net/http", "os", "sync", "syscall", "golang.org/x/sys/...", "log/slog", "github.com/prometheus/..."},
	"internal/agent/tracing":        {"context", "net", "net/http", "os", "sync", "time", "log/slog", "go.opentelemetry.io/..."},
	"internal/agent/proxy/syntax":   {"net", "net/http", "os", "log/slog", "sync", "context"},
	"internal/agent/proxy/http2":    {"net", "net/http", "os", "log/slog", "sync", "context", "golang.org/x/...", "github.com/prometheus/..."},
	"internal/agent/proxy/grpc":     {"net", "net/http", "os", "log/slog", "sync", "github.com/prometheus/...", "google.golang.org/..."},
	"internal/agent/call":           {"net", "net/http", "os", "log/slog", "sync", "github.com/prometheus/..."},
	"internal/standalone/policies":  {"context", "net", "net/http", "os", "sync", "log/slog", "sigs.k8s.io/controller-runtime/..."},
	"internal/standalone/figures":   {"context", "net", "net/http", "os", "log/slog"},
	"test/study":                    {"context", "net", "net/http", "sync", "log/slog", "math/rand"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-pgo=off", "-json=ImportPath,Imports", module+"...")
	cmd.Dir = ".."
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for d := json.NewDecoder(out); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPackagesKeepToTheirImports(t *testing.T) {
	checked := 0
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, ok := packages[name]
		if !ok {
			if (strings.HasPrefix(name, "internal/agent") || strings.HasPrefix(name, "internal/controller") || strings.HasPrefix(name, "internal/cli")) && !testHelper(name) {
				t.Errorf("%s has no row in the table: add it here and in docs/architecture.md", name)
			}
			continue
		}
		checked++
		for _, imp := range p.Imports {
			if ours, found := strings.CutPrefix(imp, module); found && !permitted(ours, allowed) {
				t.Errorf("%s imports %s; docs/architecture.md, \"Packages\", says what a package may import", name, ours)
			}
		}
		for _, banned := range pure[name] {
			for _, imp := range p.Imports {
				if permitted(imp, []string{banned}) {
					t.Errorf("%s imports %s, but it is pure (docs/architecture.md, \"Packages\")", name, imp)
				}
			}
		}
	}
	if checked < 15 {
		t.Fatalf("only %d packages were found: the table no longer matches the tree", checked)
	}
}

// testHelper reports whether a package helps the tests of the one above it.
func testHelper(name string) bool { return strings.HasSuffix(name, "test") }

func permitted(imp string, allowed []string) bool {
	for _, a := range allowed {
		if base, all := strings.CutSuffix(a, "/..."); imp == a || all && (imp == base || strings.HasPrefix(imp, base+"/")) {
			return true
		}
	}
	return false
}
