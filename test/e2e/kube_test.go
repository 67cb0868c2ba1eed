package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	systemNamespace = "fairlead-system"
	managerName     = "fairlead-manager"
	agentName       = "fairlead-agent"
)

// kube is a cluster as a test sees it.
type kube struct {
	client.Client
	config *rest.Config
	set    *kubernetes.Clientset
}

func connect() (*kube, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200
	c, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	set, err := kubernetes.NewForConfig(config)
	return &kube{Client: c, config: config, set: set}, err
}

// exec runs a command in a pod's first container.
func (k *kube) exec(ctx context.Context, pod *corev1.Pod, in io.Reader, args ...string) (string, error) {
	ex, err := k.executor(pod, in != nil, args)
	if err != nil {
		return "", err
	}
	var out, errs bytes.Buffer
	err = ex.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: &out, Stderr: &errs})
	if err != nil {
		return out.String(), fmt.Errorf("%s in %s: %w: %s", strings.Join(args, " "), pod.Name, err, errs.String())
	}
	return out.String(), nil
}

// executor runs a command in a pod's first container, over a WebSocket as kubectl does, or over SPDY where the API server has none: over SPDY what a
// command has printed can be lost when it ends at once.
func (k *kube) executor(pod *corev1.Pod, stdin bool, args []string) (remotecommand.Executor, error) {
	to := k.set.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: pod.Spec.Containers[0].Name, Command: args, Stdin: stdin, Stdout: true, Stderr: true},
			scheme.ParameterCodec).URL()
	current, err := remotecommand.NewWebSocketExecutor(k.config, http.MethodGet, to.String())
	if err != nil {
		return nil, err
	}
	old, err := remotecommand.NewSPDYExecutor(k.config, http.MethodPost, to)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(current, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

// object parses one YAML manifest.
func object(manifest string) *unstructured.Unstructured {
	GinkgoHelper()
	u := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(manifest), &u.Object)).To(Succeed(), manifest)
	return u
}

// apply sends a manifest by server-side apply, as kubectl apply --server-side does.
func (k *kube) apply(ctx context.Context, u *unstructured.Unstructured) error {
	return k.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("e2e"), client.ForceOwnership)
}

func (k *kube) pods(ctx context.Context, namespace string, labels client.MatchingLabels) []corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Expect(k.List(ctx, &list, client.InNamespace(namespace), labels)).To(Succeed())
	return list.Items
}

func readyPods(all []corev1.Pod) []corev1.Pod {
	var ready []corev1.Pod
	for _, p := range all {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
				ready = append(ready, p)
			}
		}
	}
	return ready
}

func (k *kube) nodes(ctx context.Context) []corev1.Node {
	GinkgoHelper()
	var list corev1.NodeList
	Expect(k.List(ctx, &list)).To(Succeed())
	return list.Items
}

func (k *kube) agents(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	return k.pods(ctx, systemNamespace, client.MatchingLabels{"app.kubernetes.io/name": agentName})
}

// agentOn returns the ready agent of a node.
func (k *kube) agentOn(ctx context.Context, node string) *corev1.Pod {
	GinkgoHelper()
	for _, p := range readyPods(k.agents(ctx)) {
		if p.Spec.NodeName == node {
			return &p
		}
	}
	Fail("no ready agent on node " + node)
	return nil
}

func (k *kube) waitForFairlead(ctx context.Context) {
	GinkgoHelper()
	want := len(k.nodes(ctx))
	Eventually(func() int { return len(readyPods(k.agents(ctx))) }).WithContext(ctx).WithTimeout(2*time.Minute).Should(Equal(want), "ready agents")
	Eventually(func() int32 {
		var d appsv1.Deployment
		if err := k.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: managerName}, &d); err != nil {
			return 0
		}
		return d.Status.ReadyReplicas
	}).WithContext(ctx).WithTimeout(time.Minute).Should(BeNumerically(">=", 1), "ready managers")
}

// explain writes what an on-call engineer would look at to the report of a failed spec.
func (k *kube) explain(spec string) {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	w := GinkgoWriter
	fmt.Fprintf(w, "\n--- the cluster after %q\n", spec)
	policies := &unstructured.UnstructuredList{}
	policies.SetAPIVersion("policy.fairlead.dev/v1alpha1")
	policies.SetKind("RetryPolicyList")
	if err := k.List(ctx, policies); err == nil {
		for _, p := range policies.Items {
			status, _ := yaml.Marshal(p.Object["status"])
			fmt.Fprintf(w, "policy %s/%s status:\n%s\n", p.GetNamespace(), p.GetName(), status)
		}
	}
	var list corev1.PodList
	if err := k.List(ctx, &list, client.InNamespace(systemNamespace)); err != nil {
		return
	}
	for _, p := range list.Items {
		lines := int64(100)
		logs, err := k.set.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{TailLines: &lines}).DoRaw(ctx)
		fmt.Fprintf(w, "--- %s on %s (%s) %v\n%s\n", p.Name, p.Spec.NodeName, p.Status.Phase, err, logs)
		if p.Labels["app.kubernetes.io/name"] == agentName {
			metrics, _ := k.set.CoreV1().Pods(p.Namespace).ProxyGet("http", p.Name, "9464", "metrics", nil).DoRaw(ctx)
			fmt.Fprintf(w, "%s\n", proxied.FindAll(metrics, -1))
		}
	}
}

// proxied are the lines of an agent's metrics that say how many connections came and were passed through.
var proxied = regexp.MustCompile(`(?m)^fairlead_proxy_.* [^0].*$`)
