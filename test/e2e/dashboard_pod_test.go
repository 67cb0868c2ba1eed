package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	plugins "fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	dashboardHost  = "fairlead.example.com"
	dashboardProxy = `
name: proxy
image: fairlead.dev/testserver:dev
imagePullPolicy: IfNotPresent
args: [authproxy, -to=http://127.0.0.1:8080, -name=on-call, -password=letmein]
securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`
	dashboardService = `
apiVersion: v1
kind: Service
metadata: {name: fairlead-dashboard, namespace: fairlead-system}
spec: {selector: {app.kubernetes.io/name: fairlead-dashboard}, ports: [{port: 4180}]}
`
)

// podDashboard is the dashboard of config/dashboard behind a proxy, in the cluster.
type podDashboard struct {
	pod *corev1.Pod
	// forwarded reaches its pages as kubectl port-forward does.
	forwarded *http.Client
}

// newPodDashboard applies config/dashboard with a proxy, until the stories end.
func newPodDashboard(ctx context.Context) *podDashboard {
	GinkgoHelper()
	var all []*unstructured.Unstructured
	for _, file := range []string{"service_account.yaml", "rbac.yaml", "deployment.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "config", "dashboard", file))
		Expect(err).NotTo(HaveOccurred())
		for doc := range strings.SplitSeq(string(text), "\n---\n") {
			all = append(all, object(doc))
		}
	}
	containers, _, err := unstructured.NestedSlice(all[len(all)-1].Object, "spec", "template", "spec", "containers")
	Expect(err).NotTo(HaveOccurred())
	own := containers[0].(map[string]any)
	own["args"] = append(own["args"].([]any), "--hosts="+dashboardHost)
	Expect(unstructured.SetNestedSlice(all[len(all)-1].Object, append(containers, object(dashboardProxy).Object), "spec", "template", "spec", "containers")).To(Succeed())
	for _, u := range append(all, object(dashboardService)) {
		Expect(env.k.apply(ctx, u.DeepCopy())).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(client.IgnoreNotFound(env.k.Delete(ctx, u))).To(Succeed()) })
	}
	d := &podDashboard{}
	Eventually(func() int {
		ready := readyPods(env.k.pods(ctx, systemNamespace, client.MatchingLabels{"app.kubernetes.io/name": "fairlead-dashboard"}))
		if len(ready) == 1 {
			d.pod = &ready[0]
		}
		return len(ready)
	}).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(1), "the dashboard's pod is ready")
	of := plugins.NewEnv(genericiooptions.IOStreams{In: strings.NewReader(""), Out: GinkgoWriter, ErrOut: GinkgoWriter})
	port, err := of.PodPort(systemNamespace, d.pod.Name, 8080)
	Expect(err).NotTo(HaveOccurred())
	d.forwarded = port.Client()
	DeferCleanup(func() {
		d.forwarded.CloseIdleConnections()
		Expect(port.Close()).To(Succeed())
	})
	return d
}

// ask asks by the port that is forwarded.
func (d *podDashboard) ask(ctx context.Context, method, path string, change func(*http.Request)) (int, string) {
	GinkgoHelper()
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost:8080/"+path, nil)
	Expect(err).NotTo(HaveOccurred())
	if change != nil {
		change(r)
	}
	res, err := d.forwarded.Do(r)
	Expect(err).NotTo(HaveOccurred())
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	Expect(err).NotTo(HaveOccurred())
	return res.StatusCode, string(body)
}

var _ = Describe("the dashboard in the cluster", Ordered, ContinueOnFailure, func() {
	const policy = "dashboard-pod"
	var d *podDashboard

	BeforeAll(func(ctx context.Context) {
		d = newPodDashboard(ctx)
		env.policy(ctx, policy, naming("upstream"))
		for range 5 {
			Expect(env.call(ctx, env.caller(), env.url("/dashboard-pod")).OK).To(Equal(1))
		}
	}, NodeTimeout(3*time.Minute))

	It("answers with all that its account may read, by a port that is forwarded", func(ctx context.Context) {
		destination := env.namespace + "/upstream:80"
		for path, want := range map[string]string{
			model.ClusterPath:  `"agents":`,
			model.PoliciesPath: policy,
			model.PolicyPath + "?name=" + env.namespace + "/" + policy: "RetryPolicy " + env.namespace + "/" + policy,
			model.OverviewPath + "?namespace=" + env.namespace:         destination,
			model.DestinationPath + "?name=" + destination:             env.upstream.Status.PodIP,
			model.ChangesPath:  policy,
			model.BreakersPath: `"items":`,
			model.NodesPath:    env.k.nodes(ctx)[0].Name,
			model.ProblemsPath: "clocks were compared",
			"":                 "<title>",
		} {
			Eventually(func(g Gomega) {
				status, body := d.ask(ctx, http.MethodGet, path, nil)
				g.Expect(status).To(Equal(http.StatusOK), "%s: %s", path, body)
				g.Expect(body).To(ContainSubstring(want), path)
				g.Expect(body).NotTo(ContainSubstring("forbidden"), path)
				var part model.Part
				if path != "" {
					g.Expect(json.Unmarshal([]byte(body), &part)).To(Succeed())
				}
				g.Expect(part.Notes).To(BeEmpty(), path)
			}).WithContext(ctx).Should(Succeed())
		}
	}, NodeTimeout(2*time.Minute))

	It("shows calls while they end", func(ctx context.Context) {
		defer calling(func() { env.call(ctx, env.caller(), env.url("/dashboard-pod-live")) })()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:8080/"+model.CallsPath+"?namespace="+env.namespace, nil)
		Expect(err).NotTo(HaveOccurred())
		res, err := d.forwarded.Do(r)
		Expect(err).NotTo(HaveOccurred())
		defer res.Body.Close()
		for from := bufio.NewScanner(res.Body); from.Scan(); {
			var line liveapi.TapLine
			data, ok := strings.CutPrefix(from.Text(), "data: ")
			if ok && json.Unmarshal([]byte(data), &line) == nil && line.Call != nil && line.Call.Path == "/dashboard-pod-live" {
				Expect(line.Call.Pod).To(Equal(env.namespace + "/" + env.caller().Name))
				return
			}
		}
		Fail("the stream has ended without a call")
	}, NodeTimeout(2*time.Minute))

	It("answers pods by its proxy alone, and whom that lets in", func(ctx context.Context) {
		get := func(address, path string, headers ...string) summary {
			GinkgoHelper()
			flags := []string{"-timeout", "10s"}
			for _, h := range headers {
				flags = append(flags, "-header", h)
			}
			return env.call(ctx, env.caller(), "http://"+address+"/"+path, flags...)
		}
		status := func(of summary) int {
			GinkgoHelper()
			Expect(of.Statuses).To(HaveLen(1), "%v", of.Errors)
			return slices.Collect(maps.Keys(of.Statuses))[0]
		}
		const name, known = "Host: " + dashboardHost, "Authorization: Basic b24tY2FsbDpsZXRtZWlu" // on-call:letmein
		pages, proxy, health := d.pod.Status.PodIP+":8080", d.pod.Status.PodIP+":4180", d.pod.Status.PodIP+":8081"
		for _, host := range []string{name, "Host: localhost"} {
			Expect(maps.Keys(get(pages, model.PoliciesPath, host, known).Errors)).To(ConsistOf(ContainSubstring("connection refused")), "past the proxy, with %s", host)
		}
		Expect(status(get(proxy, model.PoliciesPath, name))).To(Equal(401), "without a name")
		in := get(proxy, model.PoliciesPath, name, known)
		Expect(status(in)).To(Equal(200))
		Expect(in.LastBody).To(ContainSubstring(policy))
		Expect(status(get(proxy, model.PoliciesPath, "Host: evil.example.com", known))).To(Equal(403), "by another host name")
		Expect(status(get(proxy, model.PoliciesPath, name, known, "Origin: https://evil.example.com"))).To(Equal(403), "for a page of another site")
		Expect(status(get(health, "healthz"))).To(Equal(200))
		Expect(status(get(health, model.PoliciesPath, name, known))).To(Equal(404), "on the port for kubelets")
		by := get("fairlead-dashboard."+systemNamespace+".svc:4180", "", name, known)
		Expect(status(by)).To(Equal(200), "by the Service")
		Expect(by.LastBody).To(ContainSubstring("<title>"))
	}, NodeTimeout(time.Minute))

	It("refuses requests that are not its pages' own, by a port that is forwarded too", func(ctx context.Context) {
		for name, tc := range map[string]struct {
			method string
			change func(*http.Request)
			want   int
		}{
			"a name that resolves to the machine": {http.MethodGet, func(r *http.Request) { r.Host = "evil.example.com" }, http.StatusForbidden},
			"a page of another site":              {http.MethodGet, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
			"a change":                            {http.MethodPost, nil, http.StatusMethodNotAllowed},
		} {
			status, body := d.ask(ctx, tc.method, model.PoliciesPath, tc.change)
			Expect(status).To(Equal(tc.want), "%s: %s", name, body)
		}
	}, NodeTimeout(time.Minute))

	It("has rights to read alone, and its proxy has none of them", func(ctx context.Context) {
		for _, c := range d.pod.Spec.Containers[1:] {
			Expect(c.VolumeMounts).To(BeEmpty(), c.Name)
		}
		may := func(namespace, group, resource, subresource, verb string) bool {
			GinkgoHelper()
			set, user := env.k.set.AuthorizationV1().SubjectAccessReviews(), "system:serviceaccount:"+systemNamespace+":fairlead-dashboard"
			at := &authorizationv1.ResourceAttributes{Namespace: namespace, Group: group, Resource: resource, Subresource: subresource, Verb: verb}
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: at}}
			got, err := set.Create(ctx, review, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			return got.Status.Allowed
		}
		Expect(may(env.namespace, "", "pods", "", "list")).To(BeTrue())
		Expect(may(systemNamespace, "", "pods", "portforward", "create")).To(BeTrue())
		Expect(may(env.namespace, "", "pods", "portforward", "create")).To(BeFalse())
		for _, namespace := range []string{systemNamespace, env.namespace} {
			Expect(may(namespace, "", "secrets", "", "get")).To(BeFalse())
			Expect(may(namespace, "", "pods", "log", "get")).To(BeFalse())
			Expect(may(namespace, "", "pods", "exec", "create")).To(BeFalse())
			for _, verb := range []string{"create", "update", "patch", "delete"} {
				Expect(may(namespace, "", "pods", "", verb)).To(BeFalse(), verb)
				Expect(may(namespace, "policy.fairlead.dev", "retrypolicies", "", verb)).To(BeFalse(), verb)
			}
		}
	}, NodeTimeout(time.Minute))
})
