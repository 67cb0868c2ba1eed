package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rolledOut is a policy whose changes come to one node first.
func rolledOut(perTry, observe string) string {
	return fmt.Sprintf(`
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
timeouts: {perTry: %s}
retry: {maxRetries: 0}
rollout: {percent: 1, observe: %s}
`, perTry, observe)
}

var _ = Describe("the rollout of a change", func() {
	It("harms the pods of one node when the change is bad, and is taken back; a good one reaches all", func(ctx context.Context) {
		env.policy(ctx, "tried", rolledOut("10s", "10s"))
		waits := map[string]func() summary{}
		for i := range env.callers {
			node := env.callers[i].Spec.NodeName
			waits[node] = env.load(ctx, &env.callers[i], env.url("/tried-"+node+"?delay=20ms"), 40*time.Second, "-c", "4")
		}
		env.edit(ctx, "tried", rolledOut("1ms", "1h"))
		Eventually(func() string {
			_, reason, _, _ := condition(env.get(ctx, "tried"), "Programmed")
			return reason
		}).WithContext(ctx).WithTimeout(40 * time.Second).Should(Equal("RolledBack"))
		u := env.get(ctx, "tried")
		if len(env.callers) > 1 {
			Expect(nodesOf(u)).To(Equal(fmt.Sprintf("0/%d", len(env.callers))))
		}

		harmed := 0
		for node, wait := range waits {
			got := wait()
			saw := env.seen(ctx, "/tried-"+node).Requests
			if got.OK == got.Calls {
				Expect(saw).To(Equal(got.Calls), "the upstream saw every call of %s once", node)
				continue
			}
			harmed++
			Expect(got.Statuses).To(HaveKey(504), "%s: %+v", node, got)
			Expect(got.Statuses).To(HaveKey(200), "%s: calls work again when the change is taken back", node)
		}
		Expect(harmed).To(Equal(1), "nodes whose pods saw the change")

		env.edit(ctx, "tried", rolledOut("5s", "10s"))
		for i := range env.callers {
			node := env.callers[i].Spec.NodeName
			waits[node] = env.load(ctx, &env.callers[i], env.url("/good?delay=20ms"), 15*time.Second, "-c", "2")
		}
		env.programmed(ctx, "tried")
		for node, wait := range waits {
			got := wait()
			Expect(got.OK).To(Equal(got.Calls), "%s: %+v", node, got)
		}
		phase, _, _ := unstructured.NestedString(env.get(ctx, "tried").Object, "status", "rollout", "phase")
		Expect(phase).To(Equal("Complete"))
	}, NodeTimeout(4*time.Minute))
})

func nodesOf(u *unstructured.Unstructured) string {
	s, _, _ := unstructured.NestedString(u.Object, "status", "nodes", "summary")
	return s
}
