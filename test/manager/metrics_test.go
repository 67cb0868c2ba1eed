package manager

import (
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/test/monitoring"
)

// metricRow is a row of docs/reference/metrics.md: the name, the type, the labels and the meaning.
var metricRow = regexp.MustCompile("(?m)^\\| `(fairlead_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\| ([^|]*) \\|$")

// shownMetrics are the rows of what a replica serves.
func shownMetrics(r *replica) []string {
	GinkgoHelper()
	all, err := r.metrics.Gather()
	Expect(err).NotTo(HaveOccurred())
	var out []string
	for _, f := range all {
		labels := "–"
		if of := f.GetMetric()[0].GetLabel(); len(of) > 0 {
			var names []string
			for _, l := range of {
				names = append(names, "`"+l.GetName()+"`")
			}
			labels = strings.Join(names, ", ")
		}
		kind := strings.ToLower(dto.MetricType_name[int32(f.GetType())])
		out = append(out, strings.Join([]string{f.GetName(), kind, labels, f.GetHelp()}, " | "))
	}
	return out
}

var _ = Describe("the manager's metrics", func() {
	It("are those that docs/reference/metrics.md lists", func(ctx SpecContext) {
		givenPolicy(ctx, newNamespace(ctx), "p", anywhere)
		page, err := os.ReadFile("../../docs/reference/metrics.md")
		Expect(err).NotTo(HaveOccurred())
		_, section, _ := strings.Cut(string(page), "\n## Manager\n")
		section, _, _ = strings.Cut(section, "\n## ")
		var documented []string
		for _, row := range metricRow.FindAllStringSubmatch(section, -1) {
			documented = append(documented, strings.Join(row[1:], " | "))
		}
		Expect(len(documented)).To(BeNumerically(">", 5))
		Eventually(func() []string { return shownMetrics(suite.running) }).Should(ConsistOf(documented))
	}, SpecTimeout(time.Minute))

	It("are what the dashboards show and the alerts go by, in a Prometheus that scrapes them", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		givenPod(ctx, newPod(ns, "b", nodeName(ns, 2)))
		p := givenPolicy(ctx, ns, "p", anywhere)
		page := httptest.NewServer(promhttp.HandlerFor(suite.running.metrics, promhttp.HandlerOpts{}))
		DeferCleanup(page.Close)
		server := monitoring.Start(GinkgoTB(), 100*time.Millisecond,
			"scrape_configs: [{job_name: fairlead-manager, static_configs: [{targets: ['"+strings.TrimPrefix(page.URL, "http://")+"']}]}]\n")
		queries := slices.DeleteFunc(monitoring.Queries(GinkgoTB()), func(q monitoring.Query) bool { return !q.OfManager() })
		Expect(len(queries)).To(BeNumerically(">", 10))
		edits := 0
		monitoring.Await(GinkgoTB(), func() error {
			edits++ // so that agents have something to acknowledge
			edit(ctx, p, func(p *v1alpha1.RetryPolicy) { p.Spec.Retry.MaxRetries = new(int32(1 + edits%5)) })
			for _, q := range queries {
				if err := server.Shows(q); err != nil {
					return err
				}
			}
			for _, alert := range []string{"FairleadAgentsLost", "FairleadPolicyNotProgrammed"} { // node 2 has no agent
				found, err := server.Query(`ALERTS{alertname="` + alert + `"}`)
				if err != nil || len(found) == 0 {
					return fmt.Errorf("%s is not pending: %w", alert, err)
				}
			}
			_, err := server.Rules()
			return err
		})
	}, SpecTimeout(2*time.Minute))
})
