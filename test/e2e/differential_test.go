package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The part of test/differential that needs a cluster: Services, kube-proxy, pods that come and go. Each spec makes the same calls without
// a policy and under one that only names their destination (rule 0).

// twinServices are a Service of each kind that the specs need, among them one whose server listens on IPv4 only, and one without anybody.
const twinServices = `
apiVersion: v1
kind: Service
metadata: {name: twin, namespace: NS}
spec: {selector: {app: twin}, ports: [{name: http, port: 80, targetPort: 8080}, {name: echo, port: 7070}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky, namespace: NS}
spec: {selector: {app: twin}, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: NS}
spec: {selector: {app: nobody-has-this-label}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: mover, namespace: NS}
spec: {clusterIP: None, selector: {app: mover}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: free-mover, namespace: NS}
spec: {clusterIP: None, selector: {app: free-mover}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: four, namespace: NS}
spec: {ipFamilyPolicy: PreferDualStack, selector: {app: four}, ports: [{port: 80, targetPort: 8080}]}
`

var _ = Describe("no harm", Ordered, func() {
	BeforeAll(func(ctx context.Context) {
		env.applyAll(ctx, twinServices+deployment("twin", 2, "serve")+deployment("mover", 1, "serve")+deployment("free-mover", 1, "serve")+
			deployment("four", 1, `serve, -http, "0.0.0.0:8080"`))
		for app, n := range map[string]int{"twin": 2, "mover": 1, "free-mover": 1, "four": 1} {
			env.awaitReady(ctx, app, n)
		}
		for _, url := range []string{env.urlOf("twin", "/"), env.urlOf("sticky", "/"), "http://" + env.name("mover") + ":8080/", "http://" + env.name("free-mover") + ":8080/"} {
			Eventually(func() int { return env.call(ctx, env.caller(), url, "-fresh", "-n", "3").OK }).WithContext(ctx).Should(Equal(3), url)
		}
	}, NodeTimeout(3*time.Minute))

	It("refuses what a Service without endpoints refuses", func(ctx context.Context) {
		Expect(env.both(ctx, "nobody", func() string { return env.dial(ctx, env.name("nobody")+":80") })).To(Equal("refused"))
	}, NodeTimeout(time.Minute))

	It("answers a client that has ended its side", func(ctx context.Context) {
		request := "GET /half?delay=1s HTTP/1.1\r\nHost: twin\r\nConnection: close\r\n\r\n"
		Expect(env.both(ctx, "twin", func() string {
			status, _, _ := strings.Cut(env.raw(ctx, env.caller(), env.name("twin")+":80", strings.NewReader(request)), "\r\n")
			return status
		})).To(Equal("HTTP/1.1 200 OK"))
	}, NodeTimeout(time.Minute))

	It("keeps a caller at its endpoint where the Service says so", func(ctx context.Context) {
		Expect(env.both(ctx, "sticky", func() string {
			got := env.call(ctx, env.caller(), env.urlOf("sticky", "/sticky"), "-fresh", "-n", "40")
			return fmt.Sprintf("%d calls well, by %d server", got.OK, len(got.Pods))
		})).To(Equal("40 calls well, by 1 server"))
	}, NodeTimeout(time.Minute))

	It("carries 300 slow calls at once", func(ctx context.Context) {
		Expect(env.both(ctx, "twin", func() string {
			got := env.call(ctx, env.caller(), env.urlOf("twin", "/slow?delay=3s"), "-n", "300", "-c", "300", "-timeout", "30s")
			return fmt.Sprintf("%d calls well", got.OK)
		})).To(Equal("300 calls well"))
	}, NodeTimeout(2*time.Minute))

	It("lets a stream of events be idle", func(ctx context.Context) {
		Expect(env.both(ctx, "twin", func() string {
			return env.call(ctx, env.caller(), env.urlOf("twin", "/events?events=3&gap=6s"), "-n", "1", "-timeout", "60s").LastBody
		})).To(Equal("event 1\nevent 2\nevent 3\n"))
	}, NodeTimeout(2*time.Minute))

	It("carries a websocket and both its ends", func(ctx context.Context) {
		request := "GET /ws HTTP/1.1\r\nHost: twin\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + "frames"
		Expect(env.both(ctx, "twin", func() string {
			return env.raw(ctx, env.caller(), env.name("twin")+":80", strings.NewReader(request))
		})).To(Equal("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes"))
	}, NodeTimeout(time.Minute))

	It("loses no more calls than the cluster does when a server is deleted", func(ctx context.Context) {
		lost := func(key string) int {
			wait := env.load(ctx, env.caller(), env.urlOf("twin", "/deleted?key="+key), 10*time.Second, "-fresh", "-c", "2", "-timeout", "2s")
			env.awaitCalls(ctx, "twin", key)
			env.deleteOne(ctx, "twin")
			sum := wait()
			env.awaitReady(ctx, "twin", 2)
			return sum.Calls - sum.OK
		}
		direct := lost("deleted-direct")
		env.policy(ctx, "deleted-twin", naming("twin"))
		// One call more may meet the server while it goes.
		Expect(lost("deleted-governed")).To(BeNumerically("<=", direct+2))
	}, NodeTimeout(3*time.Minute))

	It("follows a headless Service's pod to its new address", func(ctx context.Context) {
		env.policy(ctx, "names-mover", naming("mover"))
		waits := map[string]func() summary{}
		for _, name := range []string{"mover", "free-mover"} { // governed and direct at once: most of it is what names are cached for
			waits[name] = env.load(ctx, env.caller(), "http://"+env.name(name)+":8080/moved", 50*time.Second, "-healed", "20", "-timeout", "2s")
		}
		for name := range waits {
			env.awaitCalls(ctx, name, "/moved")
			env.deleteOne(ctx, name)
		}
		for name, wait := range waits {
			env.awaitReady(ctx, name, 1)
			sum := wait()
			Expect(sum.OK).To(BeNumerically(">", 20), name)
			Expect(sum.LastBadMillis).To(BeNumerically("<", 45000), "calls of %s are well again once the name has moved: %+v", name, sum)
		}
	}, NodeTimeout(4*time.Minute))

	It("calls the family that the client called", func(ctx context.Context) {
		env.needIPv6()
		var svc corev1.Service
		Expect(cluster.Get(ctx, client.ObjectKey{Namespace: env.namespace, Name: "four"}, &svc)).To(Succeed())
		v4 := ""
		for _, ip := range svc.Spec.ClusterIPs {
			if !strings.Contains(ip, ":") {
				v4 = ip
			}
		}
		Eventually(func() int { return env.call(ctx, env.caller(), "http://"+v4+"/", "-fresh", "-n", "3").OK }).WithContext(ctx).Should(Equal(3))
		Expect(env.both(ctx, "four", func() string {
			got := env.call(ctx, env.caller(), "http://"+v4+"/four", "-fresh", "-n", "30")
			return fmt.Sprintf("%d calls well", got.OK)
		})).To(Equal("30 calls well"))
	}, NodeTimeout(time.Minute))
})

// naming is a policy that asks for nothing but its destination.
func naming(service string) string {
	return fmt.Sprintf("podSelector: {matchLabels: {app: caller}}\nto: [{service: {name: %s}}]\n", service)
}

// both does the same without a policy and under one that names the Service, expects it to come to the same, and returns what.
func (s *environment) both(ctx context.Context, service string, observe func() string) string {
	GinkgoHelper()
	direct := observe()
	name := "names-" + service
	s.edit(ctx, name, naming(service))
	defer s.drop(ctx, name)
	s.programmed(ctx, name)
	Expect(observe()).To(Equal(direct), "what a policy that only names its destination changes")
	return direct
}

func (s *environment) name(service string) string {
	return fmt.Sprintf("%s.%s.svc", service, s.namespace)
}

func (s *environment) urlOf(service, path string) string { return "http://" + s.name(service) + path }

// dial connects from a caller, says nothing, and returns what becomes of the connection.
func (s *environment) dial(ctx context.Context, addr string) string {
	GinkgoHelper()
	out, err := s.k.exec(ctx, s.caller(), nil, testserver, "dial", "-addr", addr)
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(out)
}

func (s *environment) awaitReady(ctx context.Context, app string, n int) {
	GinkgoHelper()
	Eventually(func() int { return len(readyPods(s.k.pods(ctx, s.namespace, client.MatchingLabels{"app": app}))) }).
		WithContext(ctx).WithTimeout(time.Minute).Should(Equal(n), "ready pods of "+app)
}

// awaitCalls waits until each server of an app has counted calls under a key.
func (s *environment) awaitCalls(ctx context.Context, app, key string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		for _, pod := range readyPods(s.k.pods(ctx, s.namespace, client.MatchingLabels{"app": app})) {
			out, err := s.k.exec(ctx, &pod, nil, testserver, "get", "http://127.0.0.1:8080/_stats?key="+key)
			g.Expect(err).NotTo(HaveOccurred())
			var got seen
			g.Expect(json.Unmarshal([]byte(out), &got)).To(Succeed())
			g.Expect(got.Requests).To(BeNumerically(">", 10), pod.Name)
		}
	}).WithContext(ctx).Should(Succeed())
}

// deleteOne deletes a pod without a grace.
func (s *environment) deleteOne(ctx context.Context, app string) {
	GinkgoHelper()
	p := readyPods(s.k.pods(ctx, s.namespace, client.MatchingLabels{"app": app}))[0]
	Expect(s.k.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}, client.GracePeriodSeconds(0))).To(Succeed())
}
