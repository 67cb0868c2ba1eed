package e2e

import (
	"context"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// metric is the sum of the series of an agent's metric that have all of some labels, each as name="value".
func (k *kube) metric(ctx context.Context, node, name string, labels ...string) int {
	GinkgoHelper()
	agent := k.agentOn(ctx, node)
	page, err := k.set.CoreV1().Pods(agent.Namespace).ProxyGet("http", agent.Name, "9464", "metrics", nil).DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
	sum := 0.0
	for line := range strings.Lines(string(page)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		got, of, found := strings.Cut(series, "{")
		if !found || got != name || !hasLabels(of, labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		Expect(err).NotTo(HaveOccurred(), line)
		sum += n
	}
	return int(sum)
}

func hasLabels(series string, labels []string) bool {
	for _, l := range labels {
		if !strings.Contains(series, l) {
			return false
		}
	}
	return true
}

// tries is how many attempts the agent of the client's node has counted under a policy.
func (p *programs) tries(ctx context.Context, policy string, labels ...string) int {
	GinkgoHelper()
	return p.counted(ctx, "fairlead_proxy_tries_total", policy, labels...)
}

// answered is how many of them were answered with a status. What a client has opened in vain, as Go does when several calls begin at once, is not.
func (p *programs) answered(ctx context.Context, policy string) int {
	GinkgoHelper()
	return p.tries(ctx, policy, `code="2xx"`) + p.tries(ctx, policy, `code="5xx"`)
}

// counted is a metric of the agent of the client's node, for a policy.
func (p *programs) counted(ctx context.Context, name, policy string, labels ...string) int {
	GinkgoHelper()
	return p.k.metric(ctx, p.client.Spec.NodeName, name, append(labels, `policy="`+p.namespace+"/"+policy+`"`)...)
}
