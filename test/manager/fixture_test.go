package manager

import (
	"context"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// reportInterval is how often the agents of the specs report.
const reportInterval = 200 * time.Millisecond

func newPod(namespace, name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": "checkout"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

// givenPod creates a pod and has it removed at the end, as no kubelet does.
func givenPod(ctx SpecContext, pod *corev1.Pod) *corev1.Pod {
	GinkgoHelper()
	Expect(suite.admin.Create(ctx, pod)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { removePod(ctx, pod) })
	return pod
}

func removePod(ctx SpecContext, pod *corev1.Pod) {
	GinkgoHelper()
	Expect(client.IgnoreNotFound(suite.admin.Delete(ctx, pod, client.GracePeriodSeconds(0)))).To(Succeed())
}

// givenPolicy creates a RetryPolicy with that spec, written as YAML.
func givenPolicy(ctx SpecContext, namespace, name, spec string) *v1alpha1.RetryPolicy {
	GinkgoHelper()
	p := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	Expect(yaml.UnmarshalStrict([]byte(spec), &p.Spec)).To(Succeed())
	Expect(suite.admin.Create(ctx, p)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(suite.admin.Delete(ctx, p))).To(Succeed()) })
	return p
}

// edit changes an object on the server.
func edit[T client.Object](ctx SpecContext, obj T, change func(T)) {
	GinkgoHelper()
	Eventually(func() error {
		if err := suite.admin.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		change(obj)
		return suite.admin.Update(ctx, obj)
	}).Should(Succeed())
}

// statusNow returns the policy's status.
func statusNow(ctx context.Context, p client.Object) *v1alpha1.PolicyStatus {
	if err := suite.admin.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
		return &v1alpha1.PolicyStatus{}
	}
	switch p := p.(type) {
	case *v1alpha1.RetryPolicy:
		return &p.Status
	case *v1alpha1.ClusterRetryPolicy:
		return &p.Status
	}
	return &v1alpha1.PolicyStatus{}
}

// outcome shows a condition as "Status/Reason", "" while it is absent or about another generation.
func outcome(s *v1alpha1.PolicyStatus, generation int64, kind string) string {
	c := meta.FindStatusCondition(s.Conditions, kind)
	if c == nil || s.ObservedGeneration != generation || c.ObservedGeneration != generation {
		return ""
	}
	return string(c.Status) + "/" + c.Reason
}

// eventually waits for conditions of the policy's present generation.
func eventually(ctx SpecContext, p client.Object, want map[string]string) *v1alpha1.PolicyStatus {
	GinkgoHelper()
	var s *v1alpha1.PolicyStatus
	Eventually(func(g Gomega) {
		s = statusNow(ctx, p)
		for kind, o := range want {
			g.Expect(outcome(s, p.GetGeneration(), kind)).To(Equal(o), "%s in %+v", kind, s.Conditions)
		}
	}).Should(Succeed())
	return s
}

// kstatus returns how GitOps tools see the policy.
func kstatus(p client.Object) status.Status {
	GinkgoHelper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(v1alpha1.RetryPolicyKind))
	r, err := status.Compute(u)
	Expect(err).NotTo(HaveOccurred())
	return r.Status
}
