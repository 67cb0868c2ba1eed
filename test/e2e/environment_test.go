package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const testserver = "/testserver"

// environment is the namespace of the specs: one upstream, and a caller on every node.
type environment struct {
	k         *kube
	namespace string
	upstream  *corev1.Pod
	callers   []corev1.Pod
	// architecture is that of the nodes, and certificate what the programs' servers show.
	architecture string
	certificate  map[string]string
}

const environmentServices = `
apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: v1
kind: Service
metadata: {name: upstream, namespace: NS}
spec: {selector: {app: upstream}, ports: [{name: http, port: 80, targetPort: 8080}, {name: echo, port: 7070}]}
`

// needIPv6 skips a spec where pods have no IPv6 addresses, which is a failure where nothing may be skipped.
func (s *environment) needIPv6() {
	GinkgoHelper()
	if len(s.upstream.Status.PodIPs) < 2 {
		Expect(os.Getenv("REQUIRE_PRIVILEGED")).NotTo(Equal("1"), "this cluster has no IPv6, and nothing may be skipped")
		Skip("NOT RUN: this cluster's pods have no IPv6 addresses")
	}
}

func newEnvironment(ctx context.Context, k *kube, namespace string) *environment {
	GinkgoHelper()
	s := &environment{k: k, namespace: namespace}
	s.applyAll(ctx, environmentServices+deployment("upstream", 1, "serve")+daemonSet("caller"))
	nodes := len(k.nodes(ctx))
	s.architecture = k.nodes(ctx)[0].Status.NodeInfo.Architecture
	Eventually(func() int { return len(readyPods(k.pods(ctx, namespace, client.MatchingLabels{"app": "caller"}))) }).
		WithContext(ctx).WithTimeout(2*time.Minute).Should(Equal(nodes), "a ready caller on every node")
	Eventually(func() int { return len(readyPods(k.pods(ctx, namespace, client.MatchingLabels{"app": "upstream"}))) }).
		WithContext(ctx).WithTimeout(time.Minute).Should(Equal(1), "ready upstreams")
	s.callers = readyPods(k.pods(ctx, namespace, client.MatchingLabels{"app": "caller"}))
	s.upstream = &readyPods(k.pods(ctx, namespace, client.MatchingLabels{"app": "upstream"}))[0]
	for i := range s.callers {
		// Each node's kube-proxy learns of the Service in its own time; until then it refuses connections.
		Eventually(func() int { return s.call(ctx, &s.callers[i], s.url("/ready"), "-fresh", "-n", "3").OK }).
			WithContext(ctx).Should(Equal(3), "the Service as seen from "+s.callers[i].Spec.NodeName)
	}
	return s
}

// deployment and daemonSet are manifests of test servers with the label app, which listen with HTTP on port 8080 and echo on port 7070.
func deployment(app string, replicas int, args string) string {
	return workload("Deployment", app, fmt.Sprintf("replicas: %d", replicas), "", args)
}

// daemonSet has one on every node.
func daemonSet(app string) string {
	return workload("DaemonSet", app, "minReadySeconds: 0", "tolerations: [{operator: Exists}]", "serve")
}

func workload(kind, app, spec, podSpec, args string) string {
	return fmt.Sprintf(`---
apiVersion: apps/v1
kind: %s
metadata: {name: %[2]s, namespace: NS}
spec:
  %[3]s
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec:
      terminationGracePeriodSeconds: 0
      %[4]s
      containers:
      - {name: server, image: "fairlead.dev/testserver:dev", imagePullPolicy: IfNotPresent, args: [%[5]s],
         readinessProbe: {tcpSocket: {port: 7070}, periodSeconds: 1}}
`, kind, app, spec, podSpec, args)
}

// applyAll applies a stream of manifests in which NS stands for the namespace.
func (s *environment) applyAll(ctx context.Context, manifests string) {
	GinkgoHelper()
	for _, doc := range strings.Split(strings.ReplaceAll(manifests, "NS", s.namespace), "\n---\n") {
		u := object(doc)
		Eventually(func() error { return s.k.apply(ctx, u.DeepCopy()) }).WithContext(ctx).Should(Succeed())
	}
}

func (s *environment) clear(ctx context.Context) {
	ns := &corev1.Namespace{}
	ns.Name = s.namespace
	_ = s.k.Delete(ctx, ns)
}

// caller returns a caller that does not share its node with the upstream, when there is one: calls cross nodes.
func (s *environment) caller() *corev1.Pod {
	for i := range s.callers {
		if s.callers[i].Spec.NodeName != s.upstream.Spec.NodeName {
			return &s.callers[i]
		}
	}
	return &s.callers[0]
}

// url is a path at the upstream Service.
func (s *environment) url(path string) string {
	return fmt.Sprintf("http://upstream.%s.svc%s", s.namespace, path)
}

// summary is what the test server's call command prints.
type summary struct {
	Calls, OK                                             int
	Statuses                                              map[int]int
	Reasons, Pods, Errors, Protocols, Trailers            map[string]int
	Interim                                               map[int]int
	LastBody                                              string
	P50Millis, MaxMillis, LastBadMillis, LongestBadMillis float64
	Bad                                                   []badCall
}

// badCall is a call that was not OK, for a person to lay beside the logs. Body says which address the upstream saw: Local if the call
// went direct.
type badCall struct {
	Status                     int
	Reason, Error, Local, Body string
	At                         time.Time
	Took                       time.Duration
}

// call makes calls from a pod.
func (s *environment) call(ctx context.Context, from *corev1.Pod, url string, flags ...string) summary {
	GinkgoHelper()
	out, err := s.k.exec(ctx, from, nil, append([]string{testserver, "call", "-url", url}, flags...)...)
	Expect(err).NotTo(HaveOccurred())
	var sum summary
	Expect(json.Unmarshal([]byte(out), &sum)).To(Succeed(), out)
	return sum
}

// load makes calls in the background until the returned function is called, or for at most the duration.
func (s *environment) load(ctx context.Context, from *corev1.Pod, url string, duration time.Duration, flags ...string) func() summary {
	done := make(chan summary, 1)
	go func() {
		defer GinkgoRecover()
		defer close(done)
		done <- s.call(ctx, from, url, append([]string{"-duration", duration.String()}, flags...)...)
	}()
	return func() summary {
		GinkgoHelper()
		sum, ok := <-done
		Expect(ok).To(BeTrue(), "the load generator failed")
		return sum
	}
}

// raw sends bytes to an address and returns what comes back.
func (s *environment) raw(ctx context.Context, from *corev1.Pod, addr string, in io.Reader, flags ...string) string {
	GinkgoHelper()
	out, err := s.k.exec(ctx, from, in, append([]string{testserver, "raw", "-addr", addr}, flags...)...)
	Expect(err).NotTo(HaveOccurred())
	return out
}

// seen is what the upstream saw under a key.
type seen struct {
	Requests, Failed               int
	Concurrent, MaxConcurrent      int
	Methods, Remotes, Keys, Bodies map[string]int
	LastHeader                     map[string][]string
}

// control asks the upstream from inside its own pod: that way no policy has a hand in it.
func (s *environment) control(ctx context.Context, path string) string {
	GinkgoHelper()
	out, err := s.k.exec(ctx, s.upstream, nil, testserver, "get", "http://127.0.0.1:8080"+path)
	Expect(err).NotTo(HaveOccurred())
	return out
}

func (s *environment) seen(ctx context.Context, key string) seen {
	GinkgoHelper()
	var got seen
	Expect(json.Unmarshal([]byte(s.control(ctx, "/_stats?key="+key)), &got)).To(Succeed())
	return got
}

// policy applies a RetryPolicy for the duration of the spec and waits until every node has acknowledged it. The manifest
// holds the spec only.
func (s *environment) policy(ctx context.Context, name, spec string) {
	GinkgoHelper()
	s.edit(ctx, name, spec)
	DeferCleanup(func(ctx context.Context) { s.drop(ctx, name) }, dropTime)
	s.programmed(ctx, name)
}

func (s *environment) edit(ctx context.Context, name, spec string) {
	GinkgoHelper()
	Expect(s.tryEdit(ctx, name, spec)).To(Succeed())
}

func (s *environment) tryEdit(ctx context.Context, name, spec string) error {
	u := object("spec:\n" + indent(strings.ReplaceAll(spec, "NS", s.namespace)))
	u.SetAPIVersion("policy.fairlead.dev/v1alpha1")
	u.SetKind("RetryPolicy")
	u.SetNamespace(s.namespace)
	u.SetName(name)
	return s.k.apply(ctx, u)
}

func indent(spec string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ")
}

// dropTime is enough for drop where the manager or an agent has just begun to start again.
const dropTime = NodeTimeout(2 * time.Minute)

// drop deletes a policy and waits until no node enforces it.
func (s *environment) drop(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(func() error { return client.IgnoreNotFound(s.k.Delete(ctx, s.emptyPolicy(name))) }).WithContext(ctx).Should(Succeed())
	s.released(ctx, name)
}

func (s *environment) emptyPolicy(name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("policy.fairlead.dev/v1alpha1")
	u.SetKind("RetryPolicy")
	u.SetNamespace(s.namespace)
	u.SetName(name)
	return u
}

// get returns the policy as the API server has it.
func (s *environment) get(ctx context.Context, name string) *unstructured.Unstructured {
	GinkgoHelper()
	u := s.emptyPolicy(name)
	Expect(s.k.Get(ctx, client.ObjectKeyFromObject(u), u)).To(Succeed())
	return u
}

// condition returns status and observed generation of a condition.
func condition(u *unstructured.Unstructured, kind string) (status, reason, message string, generation int64) {
	all, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range all {
		m, _ := c.(map[string]any)
		if m["type"] == kind {
			generation, _ = m["observedGeneration"].(int64)
			status, _ = m["status"].(string)
			reason, _ = m["reason"].(string)
			message, _ = m["message"].(string)
			return
		}
	}
	return
}

func (s *environment) programmed(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(func() string {
		u := s.get(ctx, name)
		status, reason, message, generation := condition(u, "Programmed")
		if generation != u.GetGeneration() {
			return fmt.Sprintf("observed generation %d of %d", generation, u.GetGeneration())
		}
		if status == "True" {
			return "True"
		}
		return status + " " + reason + ": " + message
	}).WithContext(ctx).Should(Equal("True"), "Programmed condition of "+name)
}
