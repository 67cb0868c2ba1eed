package e2e

import (
	"context"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stateServices are Services of pods that end, and of one that is not ready.
const stateServices = `
apiVersion: v1
kind: Service
metadata: {name: ending, namespace: NS}
spec: {selector: {app: ending}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: early, namespace: NS}
spec: {publishNotReadyAddresses: true, selector: {app: early}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: punctual, namespace: NS}
spec: {selector: {app: early}, ports: [{port: 80, targetPort: 8080}]}
`

// lastingPod is a server that goes on serving for a minute when it is deleted. It is ready when a port is open.
func lastingPod(name, app string, port int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: NS, labels: {app: %s}}
spec:
  terminationGracePeriodSeconds: 90
  containers:
  - {name: server, image: "fairlead.dev/testserver:dev", imagePullPolicy: IfNotPresent, args: [serve],
     readinessProbe: {tcpSocket: {port: %d}, periodSeconds: 1}, lifecycle: {preStop: {sleep: {seconds: 60}}}}
`, name, app, port)
}

var _ = Describe("an endpoint", Ordered, func() {
	BeforeAll(func(ctx context.Context) { env.applyAll(ctx, stateServices) }, NodeTimeout(time.Minute))

	It("is called while it ends, as long as it serves and there is no other one", func(ctx context.Context) {
		env.startPod(ctx, "ending-first", "ending", 7070)
		env.awaitReady(ctx, "ending", 1)
		caller := env.caller()
		env.eventuallyAnswers(ctx, caller, "ending", "ending-first")
		env.policy(ctx, "ending", naming("ending"))
		env.known(ctx, "ending", 1)

		By("it ends, and serves meanwhile")
		var first corev1.Pod
		Expect(cluster.Get(ctx, client.ObjectKey{Namespace: env.namespace, Name: "ending-first"}, &first)).To(Succeed())
		Expect(cluster.Delete(ctx, &first)).To(Succeed())
		Eventually(func() bool { return env.servesEnding(ctx, "ending") }).WithContext(ctx).Should(BeTrue())
		env.knownToEnd(ctx, "ending")
		Consistently(func() int { return env.call(ctx, caller, env.urlOf("ending", "/ending"), "-fresh", "-n", "10").OK }, "3s").
			WithContext(ctx).Should(Equal(10))

		By("there is another one")
		env.startPod(ctx, "ending-second", "ending", 7070)
		env.awaitReady(ctx, "ending", 1)
		env.known(ctx, "ending", 1)
		env.eventuallyAnswers(ctx, caller, "ending", "ending-second")
		Expect(env.servesEnding(ctx, "ending")).To(BeTrue(), "the first one could still be called")
		env.drop(ctx, "ending")
		env.eventuallyAnswers(ctx, caller, "ending", "ending-second")
	}, NodeTimeout(2*time.Minute))

	It("is called before it is ready if its Service says so", func(ctx context.Context) {
		env.startPod(ctx, "early-server", "early", 9) // where nobody listens
		caller := env.caller()
		env.eventuallyAnswers(ctx, caller, "early", "early-server")
		env.policy(ctx, "early", naming("early"))
		env.policy(ctx, "punctual", naming("punctual"))
		env.known(ctx, "early", 1)
		env.known(ctx, "punctual", 0)
		Expect(env.call(ctx, caller, env.urlOf("early", "/early"), "-fresh", "-n", "20").OK).To(Equal(20))
		Expect(env.call(ctx, caller, env.urlOf("punctual", "/punctual"), "-fresh", "-n", "2", "-timeout", "2s").OK).To(BeZero(), "of a Service that does not")
		Expect(readyPods(cluster.pods(ctx, env.namespace, client.MatchingLabels{"app": "early"}))).To(BeEmpty())
	}, NodeTimeout(time.Minute))
})

// startPod makes a lastingPod for the duration of the spec.
func (s *environment) startPod(ctx context.Context, name, app string, port int) {
	GinkgoHelper()
	s.applyAll(ctx, lastingPod(name, app, port))
	DeferCleanup(func(ctx context.Context) {
		p := &corev1.Pod{}
		p.Namespace, p.Name = s.namespace, name
		Expect(client.IgnoreNotFound(s.k.Delete(ctx, p, client.GracePeriodSeconds(0)))).To(Succeed())
	}, NodeTimeout(10*time.Second))
}

// knownToEnd waits until every agent knows that all endpoints of a Service end, and that there are some.
func (s *environment) knownToEnd(ctx context.Context, service string) {
	GinkgoHelper()
	s.k.eventuallyOnEveryNode(ctx, "endpoints of "+service+" are known to end", func(f *inForce) string {
		ending := 0
		for _, port := range f.Destinations[s.namespace+"/"+service].Ports {
			ending += len(port.Endpoints)
		}
		if ready := f.endpoints(s.namespace + "/" + service); ending == 0 || ready > 0 {
			return fmt.Sprintf("knows %d endpoints, %d of them ready", ending, ready)
		}
		return ""
	})
}

// servesEnding reports whether an endpoint of a Service is known to end and to serve.
func (s *environment) servesEnding(ctx context.Context, service string) bool {
	GinkgoHelper()
	var list discoveryv1.EndpointSliceList
	Expect(s.k.List(ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service})).To(Succeed())
	return slices.ContainsFunc(list.Items, func(e discoveryv1.EndpointSlice) bool {
		return slices.ContainsFunc(e.Endpoints, func(p discoveryv1.Endpoint) bool {
			return p.Conditions.Terminating != nil && *p.Conditions.Terminating && p.Conditions.Serving != nil && *p.Conditions.Serving
		})
	})
}
