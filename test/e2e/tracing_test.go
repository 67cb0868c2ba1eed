package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// span is what the collector shows of a span.
type span struct {
	Trace, ID, Parent, Name string
	Kind                    int32
	Attributes              map[string]string
}

// The kinds of spans, as OTLP has them.
const (
	internalSpan = 1
	clientSpan   = 3
)

const traced = healing + "observability: {accessLog: All, tracing: {samplePercent: 100}}\n"

// logged is what the collector shows of a log record.
type logged struct {
	Trace, Body string
	Attributes  map[string]string
}

// collected asks the collector from inside its own pod.
func collected[T any](ctx context.Context, collector *corev1.Pod, path string) (out []T) {
	GinkgoHelper()
	text, err := env.k.exec(ctx, collector, nil, testserver, "get", "http://127.0.0.1:8080"+path)
	Expect(err).NotTo(HaveOccurred())
	Expect(json.Unmarshal([]byte(text), &out)).To(Succeed())
	return out
}

// setAgents changes the environment of the agents, and waits until every node has one with it.
func (k *kube) setAgents(ctx context.Context, change func(env []corev1.EnvVar) []corev1.EnvVar) {
	GinkgoHelper()
	var d appsv1.DaemonSet
	key := client.ObjectKey{Namespace: systemNamespace, Name: agentName}
	Eventually(func() error {
		if err := k.Get(ctx, key, &d); err != nil {
			return err
		}
		c := &d.Spec.Template.Spec.Containers[0]
		c.Env = change(c.Env)
		return k.Update(ctx, &d)
	}).WithContext(ctx).Should(Succeed())
	generation := d.Generation
	Eventually(func(g Gomega) {
		g.Expect(k.Get(ctx, key, &d)).To(Succeed())
		g.Expect(d.Status.ObservedGeneration).To(BeNumerically(">=", generation))
		g.Expect(d.Status.UpdatedNumberScheduled).To(Equal(d.Status.DesiredNumberScheduled))
		g.Expect(d.Status.NumberAvailable).To(Equal(d.Status.DesiredNumberScheduled))
	}).WithContext(ctx).WithTimeout(3*time.Minute).Should(Succeed(), "agents with the new environment")
	k.waitForFairlead(ctx)
}

var _ = Describe("traces", Serial, func() {
	It("reach a collector with a span of each call and each attempt, and upstreams get the attempt's; without one the status says so", func(ctx context.Context) {
		env.policy(ctx, "traced", traced)
		env.call(ctx, env.caller(), env.url("/untraced"), "-n", "1")
		Eventually(func() string {
			_, reason, _, _ := condition(env.get(ctx, "traced"), "PartiallyEnforced")
			return reason
		}).WithContext(ctx).WithTimeout(time.Minute).Should(Equal("NoTraceExporter"))
		Expect(env.seen(ctx, "/untraced").LastHeader).NotTo(HaveKey("Traceparent"), "without an exporter nothing is traced")

		env.applyAll(ctx, deployment("collector", 1, "collect")+`---
apiVersion: v1
kind: Service
metadata: {name: collector, namespace: NS}
spec: {selector: {app: collector}, ports: [{port: 4317}]}
`)
		pods := func() []corev1.Pod {
			return readyPods(env.k.pods(ctx, env.namespace, client.MatchingLabels{"app": "collector"}))
		}
		Eventually(func() int { return len(pods()) }).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(1))
		collector := &pods()[0]
		variables := []corev1.EnvVar{
			{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: fmt.Sprintf("http://collector.%s.svc:4317", env.namespace)},
			{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "grpc"},
			{Name: "OTEL_LOGS_EXPORTER", Value: "otlp"},
		}
		var before []corev1.EnvVar
		env.k.setAgents(ctx, func(had []corev1.EnvVar) []corev1.EnvVar {
			before = had
			return append(append([]corev1.EnvVar(nil), had...), variables...)
		})
		DeferCleanup(func(ctx context.Context) {
			env.k.setAgents(ctx, func([]corev1.EnvVar) []corev1.EnvVar { return before })
		}, NodeTimeout(5*time.Minute))
		Eventually(func() string {
			status, _, _, _ := condition(env.get(ctx, "traced"), "PartiallyEnforced")
			return status
		}).WithContext(ctx).WithTimeout(time.Minute).ShouldNot(Equal("True"))

		got := env.call(ctx, env.caller(), env.url("/traced?failFirst=2"), "-n", "1")
		Expect(got.OK).To(Equal(1), "%+v", got)
		var call *span
		attempts := map[string]span{} // by their IDs
		Eventually(func(g Gomega) {
			call, attempts = nil, map[string]span{}
			for _, s := range collected[span](ctx, collector, "/") {
				if s.Attributes["url.path"] != "/traced" {
					continue
				}
				switch s.Kind {
				case internalSpan:
					call = &s
				case clientSpan:
					attempts[s.ID] = s
				}
			}
			g.Expect(call).NotTo(BeNil())
			g.Expect(attempts).To(HaveLen(3))
		}).WithContext(ctx).Should(Succeed())
		Expect(call.Attributes).To(HaveKeyWithValue("k8s.pod.name", env.caller().Name))
		Expect(call.Attributes).To(HaveKeyWithValue("fairlead.policy", env.namespace+"/traced"))
		for _, s := range attempts {
			Expect(s.Parent).To(Equal(call.ID))
			Expect(s.Trace).To(Equal(call.Trace))
		}
		saw := env.seen(ctx, "/traced").LastHeader["Traceparent"]
		Expect(saw).To(HaveLen(1))
		Expect(saw[0]).To(HaveLen(55))
		Expect(attempts).To(HaveKey(saw[0][36:52]), "the upstream got the span of its attempt: %q", saw)

		By("exporting the line of the access log with the same trace")
		var line *logged
		Eventually(func() *logged {
			for _, l := range collected[logged](ctx, collector, "/logs") {
				if l.Attributes["path"] == "/traced" {
					line = &l
				}
			}
			return line
		}).WithContext(ctx).ShouldNot(BeNil())
		Expect(line.Trace).To(Equal(call.Trace))
		Expect(line.Body).To(Equal("call"))
		Expect(line.Attributes).To(And(HaveKeyWithValue("pod", env.namespace+"/"+env.caller().Name), HaveKeyWithValue("tries", "3"),
			HaveKeyWithValue("policy", env.namespace+"/traced"), HaveKeyWithValue("retry_decision", "recovered")))
	}, NodeTimeout(8*time.Minute))
})
