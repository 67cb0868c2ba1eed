package manager

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

var _ = Describe("faults", func() {
	It("are shown until they end, and refused where they end too late", func(ctx SpecContext) {
		ns := newNamespace(ctx)
		a := newAgent(ctx, nodeName(ns, 1))
		givenPod(ctx, newPod(ns, "a", nodeName(ns, 1)))
		until := time.Now().Add(15 * time.Second).UTC().Truncate(time.Second)
		const spec = `{podSelector: {matchLabels: {app: checkout}}, to: [{any: {}}], faults: {until: %q, percent: 10, abort: {type: Response, statusCode: 503}}}`
		p := givenPolicy(ctx, ns, "p", fmt.Sprintf(spec, until.Format(time.RFC3339)))
		eventually(ctx, p, map[string]string{v1alpha1.ConditionReady: "True/Ready", v1alpha1.ConditionFaultsActive: "True/FaultsInjected"})
		want := &policy.Faults{Until: until.Unix(), Percent: 10, Abort: policy.FaultResponse, Status: 503, GRPCStatus: 14}
		Eventually(func() *policy.Faults { return a.binding().Base.Faults }).Should(Equal(want))
		c := func() *metav1.Condition {
			return meta.FindStatusCondition(statusNow(ctx, p).Conditions, v1alpha1.ConditionFaultsActive)
		}
		Expect(c().Message).To(And(ContainSubstring(until.Format(time.RFC3339)), ContainSubstring("10 % of attempts are answered with 503")))
		By("ending")
		Eventually(c).WithTimeout(time.Minute).Should(BeNil())
		Expect(time.Now()).To(BeTemporally(">=", until))
		eventuallyEvents(ctx, ns, "FaultsStarted", "FaultsEnded")
		By("refusing an end that is too far ahead")
		edit(ctx, p, func(p *v1alpha1.RetryPolicy) {
			p.Spec.Faults.Until = v1alpha1.Timestamp(time.Now().Add(25 * time.Hour).UTC().Format(time.RFC3339))
		})
		eventually(ctx, p, map[string]string{v1alpha1.ConditionAccepted: "False/Invalid"})
		Expect(meta.FindStatusCondition(statusNow(ctx, p).Conditions, v1alpha1.ConditionAccepted).Message).To(ContainSubstring("more than 24 hours after it was written"))
		Expect(a.binding().Base.Faults).To(Equal(want), "the previous version stays in force, and is over")
	}, SpecTimeout(3*time.Minute))
})
