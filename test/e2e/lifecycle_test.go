package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = Describe("change and failure", Ordered, func() {
	It("fails no call when a policy is edited under load", func(ctx context.Context) {
		env.policy(ctx, "edited", healing)
		wait := env.load(ctx, env.caller(), env.url("/edited?failPercent=20"), 8*time.Second, "-c", "8")
		for i := range 20 {
			env.edit(ctx, "edited", healing+fmt.Sprintf("connectionPool: {maxIdlePerEndpoint: %d}\ntimeouts: {idle: %ds}\n", 8+i, 60+i))
			env.programmed(ctx, "edited")
		}
		sum := wait()
		Expect(sum.Calls).To(BeNumerically(">", 500))
		Expect(sum.OK).To(Equal(sum.Calls), "%+v", sum)
	}, NodeTimeout(time.Minute))

	It("restores direct traffic when the policy is deleted, without failing a call", func(ctx context.Context) {
		env.policy(ctx, "deleted", healing)
		Expect(env.call(ctx, env.caller(), env.url("/deleted?failPercent=30"), "-n", "100").OK).To(Equal(100))
		wait := env.load(ctx, env.caller(), env.url("/deleted-load"), 4*time.Second, "-c", "4", "-fresh", "-gap", "5ms")
		env.drop(ctx, "deleted")
		Eventually(func() int {
			return env.call(ctx, env.caller(), env.url("/direct?failPercent=50"), "-n", "20", "-fresh").OK
		}).WithContext(ctx).Should(Equal(10), "calls are not retried any more")
		sum := wait()
		Expect(sum.OK).To(Equal(sum.Calls), "%+v", sum)
	}, NodeTimeout(time.Minute))

	It("lets calls flow within 4 s after an agent's SIGKILL, and captures again", func(ctx context.Context) {
		env.policy(ctx, "killed", healing)
		from := env.caller()
		agent := cluster.agentOn(ctx, from.Spec.NodeName)
		assassin := env.assassin(ctx, from.Spec.NodeName)
		wait := env.load(ctx, from, env.url("/killed"), 12*time.Second, "-c", "4", "-fresh", "-gap", "10ms", "-timeout", "3s")
		container := agent.Status.ContainerStatuses[0].ContainerID
		_, err := cluster.exec(ctx, assassin, nil, testserver, "kill", "-container", container[strings.LastIndex(container, "/")+1:])
		Expect(err).NotTo(HaveOccurred())
		sum := wait()
		Expect(sum.Calls).To(BeNumerically(">", 200), "%+v", sum)
		Expect(sum.LongestBadMillis).To(BeNumerically("<=", 4000), "%+v", sum)
		Expect(sum.LastBadMillis).To(BeNumerically("<=", 6000), "%+v", sum)

		Eventually(func() int {
			return env.call(ctx, from, env.url("/recaptured?failPercent=50"), "-n", "20", "-fresh").OK
		}).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(20), "the restarted agent captures again")
	}, NodeTimeout(3*time.Minute))

	It("goes on enforcing without the manager, also through an agent's restart", func(ctx context.Context) {
		env.policy(ctx, "orphan", healing)
		from := env.caller()
		cluster.scaleManager(ctx, 0)
		DeferCleanup(func(ctx context.Context) {
			cluster.scaleManager(ctx, 1)
			cluster.waitForFairlead(ctx)
		}, NodeTimeout(2*time.Minute))
		Expect(env.call(ctx, from, env.url("/orphan?failPercent=30"), "-n", "100").OK).To(Equal(100), "without a manager")

		old := cluster.agentOn(ctx, from.Spec.NodeName)
		Expect(cluster.Delete(ctx, old)).To(Succeed())
		Eventually(func() bool {
			for _, p := range readyPods(cluster.agents(ctx)) {
				if p.Spec.NodeName == from.Spec.NodeName && p.UID != old.UID {
					return true
				}
			}
			return false
		}).WithContext(ctx).WithTimeout(time.Minute).Should(BeTrue(), "the agent is back, from its disk copy")
		Eventually(func() int {
			return env.call(ctx, from, env.url("/orphan2?failPercent=30"), "-n", "100", "-fresh").OK
		}).WithContext(ctx).Should(Equal(100), "after a restart without a manager")
	}, NodeTimeout(4*time.Minute))

	It("fails no call when an agent is restarted gracefully", func(ctx context.Context) {
		// Nothing is repeated, so nothing that the agents break is healed: POST, and no retries.
		env.policy(ctx, "graceful", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 0}
`)
		from := env.caller()
		old := cluster.agentOn(ctx, from.Spec.NodeName)
		fresh := env.load(ctx, from, env.url("/graceful"), 10*time.Second, "-c", "4", "-method", "POST", "-body", "pay", "-fresh", "-gap", "5ms")
		kept := env.load(ctx, from, env.url("/graceful-kept?delay=1ms"), 10*time.Second, "-c", "4", "-method", "POST", "-body", "pay")
		Expect(cluster.Delete(ctx, old)).To(Succeed())
		for _, wait := range []func() summary{fresh, kept} {
			sum := wait()
			Expect(sum.Calls).To(BeNumerically(">", 200))
			Expect(sum.OK).To(Equal(sum.Calls), "%+v", sum)
		}
		cluster.waitForFairlead(ctx)
	}, NodeTimeout(2*time.Minute))
})

func (k *kube) scaleManager(ctx context.Context, replicas int32) {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(k.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: managerName}, d)).To(Succeed())
	patch := client.MergeFrom(d.DeepCopy())
	d.Spec.Replicas = ptr.To(replicas)
	Expect(k.Patch(ctx, d, patch)).To(Succeed())
	Eventually(func() int {
		return len(k.pods(ctx, systemNamespace, client.MatchingLabels{"app.kubernetes.io/name": managerName}))
	}).WithContext(ctx).WithTimeout(time.Minute).Should(Equal(int(replicas)))
}

// assassin is a pod that can signal the other pods' processes of its node.
func (s *environment) assassin(ctx context.Context, node string) *corev1.Pod {
	GinkgoHelper()
	p := &corev1.Pod{}
	p.Namespace, p.Name = s.namespace, "assassin"
	p.Spec = corev1.PodSpec{
		NodeName: node, HostPID: true, RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: ptr.To(int64(0)),
		Containers: []corev1.Container{{Name: "assassin", Image: "fairlead.dev/testserver:dev", Args: []string{"serve"},
			ImagePullPolicy: corev1.PullIfNotPresent, SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true), RunAsUser: ptr.To(int64(0))}}},
	}
	Expect(s.k.Create(ctx, p)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { _ = s.k.Delete(ctx, p) }, NodeTimeout(20*time.Second))
	Eventually(func() []corev1.Pod { return readyPods([]corev1.Pod{*s.fresh(ctx, p)}) }).WithContext(ctx).Should(HaveLen(1))
	return p
}

func (s *environment) fresh(ctx context.Context, p *corev1.Pod) *corev1.Pod {
	GinkgoHelper()
	got := &corev1.Pod{}
	Expect(s.k.Get(ctx, client.ObjectKeyFromObject(p), got)).To(Succeed())
	return got
}
