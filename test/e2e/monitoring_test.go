package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/test/monitoring"
)

// podMonitor is a PodMonitor, as far as those of config/monitoring go.
type podMonitor struct {
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		Selector            struct{ MatchLabels map[string]string }
		JobLabel            string
		PodMetricsEndpoints []struct {
			Port        string
			Relabelings []struct {
				SourceLabels []string
				TargetLabel  string
			}
		}
	}
}

// podMonitors are those of config/monitoring.
func podMonitors() (out []podMonitor) {
	GinkgoHelper()
	text, err := os.ReadFile("../../config/monitoring/pod_monitors.yaml")
	Expect(err).NotTo(HaveOccurred())
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		var m podMonitor
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return out
		}
		Expect(err).NotTo(HaveOccurred())
		out = append(out, m)
	}
}

// relabel is an entry of relabel_configs.
type relabel map[string]any

// metaLabel is how Prometheus calls a label of a pod.
func metaLabel(label string) string {
	return "__meta_kubernetes_pod_label_" + strings.NewReplacer(".", "_", "/", "_", "-", "_").Replace(label)
}

// access is how the API server is reached, in the words of Prometheus.
func (k *kube) access(dir string) map[string]any {
	GinkgoHelper()
	config := rest.CopyConfig(k.config)
	Expect(rest.LoadTLSFiles(config)).To(Succeed())
	files := map[string]any{}
	for name, content := range map[string][]byte{"ca_file": config.CAData, "cert_file": config.CertData, "key_file": config.KeyData} {
		if len(content) > 0 {
			path := filepath.Join(dir, name)
			Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
			files[name] = path
		}
	}
	out := map[string]any{"tls_config": files}
	if config.BearerToken != "" {
		out["authorization"] = map[string]any{"credentials": config.BearerToken}
	}
	return out
}

// discovered are the ports of a monitor's pods with the labels that Prometheus' own discovery gives them, which Debian's Prometheus is built without.
func (k *kube) discovered(ctx context.Context, m podMonitor) (out []map[string]any) {
	GinkgoHelper()
	for _, pod := range k.pods(ctx, m.Metadata.Namespace, m.Spec.Selector.MatchLabels) {
		for _, c := range pod.Spec.Containers {
			for _, port := range c.Ports {
				number := strconv.Itoa(int(port.ContainerPort))
				labels := map[string]string{
					"__meta_kubernetes_namespace": pod.Namespace, "__meta_kubernetes_pod_name": pod.Name, "__meta_kubernetes_pod_node_name": pod.Spec.NodeName,
					"__meta_kubernetes_pod_container_port_name": port.Name, "__meta_kubernetes_pod_container_port_number": number,
				}
				for name, value := range pod.Labels {
					labels[metaLabel(name)] = value
				}
				out = append(out, map[string]any{"targets": []string{net.JoinHostPort(pod.Status.PodIP, number)}, "labels": labels})
			}
		}
	}
	return out
}

// scrapeConfigs is what the operator would make of the PodMonitors, but that pods are reached through the API server, for the tests run outside the cluster.
func (k *kube) scrapeConfigs(ctx context.Context, monitors []podMonitor) string {
	GinkgoHelper()
	server, err := url.Parse(k.config.Host)
	Expect(err).NotTo(HaveOccurred())
	access := k.access(GinkgoT().TempDir())
	var configs []map[string]any
	for _, m := range monitors {
		for _, e := range m.Spec.PodMetricsEndpoints {
			labels := []relabel{
				{"source_labels": []string{"__meta_kubernetes_pod_container_port_name"}, "action": "keep", "regex": e.Port},
				{"source_labels": []string{metaLabel(m.Spec.JobLabel)}, "target_label": "job"},
				{"source_labels": []string{"__address__"}, "target_label": "instance"},
				{
					"source_labels": []string{"__meta_kubernetes_namespace", "__meta_kubernetes_pod_name", "__meta_kubernetes_pod_container_port_number"},
					"regex":         "(.+);(.+);(.+)", "target_label": "__metrics_path__", "replacement": "/api/v1/namespaces/$1/pods/$2:$3/proxy/metrics",
				},
				{"target_label": "__address__", "replacement": server.Host},
			}
			for _, r := range e.Relabelings {
				labels = append(labels, relabel{"source_labels": r.SourceLabels, "target_label": r.TargetLabel})
			}
			config := map[string]any{"job_name": m.Metadata.Name, "scheme": server.Scheme, "static_configs": k.discovered(ctx, m), "relabel_configs": labels}
			maps.Copy(config, access)
			configs = append(configs, config)
		}
	}
	text, err := json.Marshal(configs) // which is YAML, too
	Expect(err).NotTo(HaveOccurred())
	return "scrape_configs: " + string(text) + "\n"
}

// unusual are families of which agents have series only where a policy asks for something of its own, or something rare has happened. The tests of
// the agent's metrics see them in a Prometheus.
var unusual = []string{
	"fairlead_proxy_hedges_total", "fairlead_proxy_fallbacks_total", "fairlead_proxy_faults_injected_total", "fairlead_proxy_grpc_calls_total",
	"fairlead_proxy_tls_failures_total", "fairlead_proxy_pod_handshakes_total", "fairlead_dry_run_decisions_total", "fairlead_limit_share",
	"fairlead_attempt_timeout_seconds", "fairlead_proxy_tunnel_duration_seconds", "fairlead_endpoint_ejections_total", "fairlead_capture_older_connections",
	"fairlead_tracing_spans_total", "fairlead_accesslog_exported_lines_total",
}

// isUnusual reports whether a query is about one of them.
func isUnusual(q monitoring.Query) bool {
	return slices.ContainsFunc(unusual, func(family string) bool { return strings.Contains(q.Expr, family) })
}

// scrapes returns what is wrong with the targets of a job.
func scrapes(p *monitoring.Prometheus, job string, want int) error {
	up, err := p.Query(`up{job="` + job + `"} == 1`)
	if err == nil && len(up) != want {
		err = fmt.Errorf("%d of %d targets of %s are up", len(up), want, job)
	}
	for _, s := range up {
		if job == agentName && s.Metric["node"] == "" {
			err = fmt.Errorf("a target of %s has no node: %v", job, s.Metric)
		}
	}
	return err
}

// shows returns the first query that shows nothing, and the first rule that cannot be evaluated.
func shows(p *monitoring.Prometheus, queries []monitoring.Query) error {
	for _, q := range queries {
		if err := p.Shows(q); err != nil {
			return err
		}
	}
	_, err := p.Rules()
	return err
}

// monitored retries up to so many times, and lets one call through to one of its paths.
const monitored = `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: %d}
rules:
- {name: limited, match: [{path: {value: /monitored-limit}}], rateLimit: {requests: 1, per: 1h, burst: 1, scope: Node}}
`

var _ = Describe("Prometheus", func() {
	It("scrapes every agent and manager by the PodMonitors, evaluates the rules, and has data for the dashboards", func(ctx context.Context) {
		env.policy(ctx, "monitored", fmt.Sprintf(monitored, 2))
		server := monitoring.Start(GinkgoTB(), time.Second, env.k.scrapeConfigs(ctx, podMonitors()))
		queries := slices.DeleteFunc(monitoring.Queries(GinkgoTB()), isUnusual)
		Expect(len(queries)).To(BeNumerically(">", 60))
		agents := len(env.k.nodes(ctx))
		managers := len(env.k.pods(ctx, systemNamespace, client.MatchingLabels{"app.kubernetes.io/name": managerName}))
		edits := 0
		monitoring.Await(GinkgoTB(), func() error {
			edits++
			env.edit(ctx, "monitored", fmt.Sprintf(monitored, 2+edits%2)) // which agents acknowledge
			for path, calls := range map[string]string{"/monitored": "5", "/monitored?failFirst=1&key=monitored-retry": "2", "/monitored-limit": "2"} {
				env.call(ctx, env.caller(), env.url(path), "-n", calls)
			}
			return errors.Join(scrapes(server, agentName, agents), scrapes(server, managerName, managers), shows(server, queries))
		})
	}, NodeTimeout(3*time.Minute))
})
