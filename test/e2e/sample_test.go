package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// What users start from is what is tried: the samples, and the command in the docs.

// sample reads a manifest in config/samples.
func sample(name string) *unstructured.Unstructured {
	GinkgoHelper()
	b, err := os.ReadFile(filepath.Join("..", "..", "config", "samples", name))
	Expect(err).NotTo(HaveOccurred())
	return object(string(b))
}

var labelCommand = regexp.MustCompile(`(?m)^kubectl label namespace \S+ (\S+)=(\S+)$`)

// publishLabel is the label that docs/guides/tls.md says to put on a namespace whose pods are to trust the egress CA.
func publishLabel() (name, value string) {
	GinkgoHelper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "tls.md"))
	Expect(err).NotTo(HaveOccurred())
	m := labelCommand.FindStringSubmatch(string(b))
	Expect(m).To(HaveLen(3))
	return m[1], m[2]
}

// interceptingPolicy is the spec of the sample for pods with a label app, with these hosts in the place of its own, and more in YAML. The servers of
// the stories are verified with their own CA.
func interceptingPolicy(app string, hosts []taxHost, more string) string {
	GinkgoHelper()
	spec := sample("intercepted-https.yaml").Object["spec"].(map[string]any)
	spec["podSelector"] = map[string]any{"matchLabels": map[string]any{"app": app}}
	only := spec["to"].([]any)[0].(map[string]any)
	Expect(only["host"]).To(Equal(taxHTTP1), "the first of the stories' hosts is the sample's")
	var to []any
	for _, h := range hosts {
		d := plain(only)
		d["host"], d["protocol"] = h.name, h.protocol
		if h.trusted {
			d["tls"].(map[string]any)["caBundleRef"] = map[string]any{"name": "programs-ca"}
		}
		to = append(to, d)
	}
	spec["to"] = to
	b, err := yaml.Marshal(spec)
	Expect(err).NotTo(HaveOccurred())
	return string(b) + more
}

// plain is a copy of what is written in Go as it is in JSON.
func plain(v any) map[string]any {
	GinkgoHelper()
	b, err := json.Marshal(v)
	Expect(err).NotTo(HaveOccurred())
	var out map[string]any
	Expect(json.Unmarshal(b, &out)).To(Succeed())
	return out
}

// trustingPod is the sample's pod that trusts the egress CA, with programs of the node in the place of the user's image.
func (p *programs) trustingPod(node, javaHome string, aliases []any) map[string]any {
	GinkgoHelper()
	template := sample("pods/trusting-the-egress-ca.yaml").Object["spec"].(map[string]any)["template"].(map[string]any)
	theirs := template["spec"].(map[string]any)
	pod := plain(p.pod(trustingApp, node, container("app", []string{testserver, "serve"}, 7070)))
	ours := pod["spec"].(map[string]any)
	base := ours["containers"].([]any)[0].(map[string]any)
	base["env"] = append(base["env"].([]any), map[string]any{"name": "JAVA_HOME", "value": javaHome})
	for _, kind := range []string{"initContainers", "containers"} {
		for _, c := range theirs[kind].([]any) {
			c := c.(map[string]any)
			c["image"], c["imagePullPolicy"] = base["image"], base["imagePullPolicy"]
			for _, list := range []string{"env", "volumeMounts"} {
				have, _ := c[list].([]any)
				c[list] = append(have, base[list].([]any)...)
			}
			if kind == "containers" {
				c["command"], c["readinessProbe"] = base["command"], base["readinessProbe"]
			}
		}
		ours[kind] = theirs[kind]
	}
	ours["volumes"] = append(ours["volumes"].([]any), theirs["volumes"].([]any)...)
	ours["hostAliases"] = aliases
	pod["metadata"].(map[string]any)["labels"] = template["metadata"].(map[string]any)["labels"]
	return pod
}
