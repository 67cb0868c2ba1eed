package manager

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

var _ = Describe("an annotation", func() {
	It("keeps circuit breakers open by annotation, until the time is over", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		p := givenPolicy(ctx, ns, "p", anywhere)
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready"})
		annotate := func(text string) {
			GinkgoHelper()
			patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationCircuitBreaker, text)
			Expect(suite.admin.Patch(ctx, p.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner("somebody"))).To(Succeed())
		}
		open := func() bool { b := a.binding(); return b != nil && b.ForcedBreaker.Open }
		until := time.Now().Add(20 * time.Second).UTC().Truncate(time.Second)
		annotate("open until " + until.Format(time.RFC3339))
		Eventually(open).Should(BeTrue())
		Eventually(func(g Gomega) {
			c := meta.FindStatusCondition(statusNow(ctx, p).Conditions, v1alpha1.ConditionBreakerForced)
			g.Expect(c).NotTo(BeNil())
			g.Expect(c.Reason).To(Equal(v1alpha1.ReasonForcedOpen))
			g.Expect(c.Message).To(And(ContainSubstring(until.Format(time.RFC3339)), ContainSubstring("written by somebody")))
		}).Should(Succeed())
		By("keeping it when the annotation cannot be read any more")
		annotate("open for 10m")
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/Invalid"})
		Expect(open()).To(BeTrue())
		By("ending it when its time is over")
		annotate("open until " + until.Format(time.RFC3339))
		Eventually(open).WithTimeout(time.Minute).Should(BeFalse())
		Expect(time.Now()).To(BeTemporally(">=", until))
		Eventually(func() *metav1.Condition {
			return meta.FindStatusCondition(statusNow(ctx, p).Conditions, v1alpha1.ConditionBreakerForced)
		}).Should(BeNil())
		eventuallyEvents(ctx, ns, "BreakerForced", "BreakerReleased")
	}, SpecTimeout(3*time.Minute))
})
