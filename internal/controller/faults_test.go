package controller

import (
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// A policy is read again when the first of what it says for a time is over.
func TestAPolicyIsReadAgainWhenItsFaultsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &objectReconciler{}
		key := objectKey{kind: kindPolicy, namespace: "shop", name: "p"}
		stamp := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }
		percent := int32(10)
		faults := &v1alpha1.Faults{
			Until: v1alpha1.Timestamp(stamp(time.Minute)), Percent: &percent, Abort: &v1alpha1.FaultAbort{Type: v1alpha1.FaultReset},
		}
		src := compile.Source{Body: &v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Faults: faults}}}
		for name, tc := range map[string]struct {
			annotation string
			want       time.Duration
		}{
			"alone":                                  {"", time.Minute},
			"before an annotation about breakers is": {"open until " + stamp(time.Hour), time.Minute},
			"after it is":                            {"open until " + stamp(time.Second), time.Second},
		} {
			m := &metav1.ObjectMeta{}
			if tc.annotation != "" {
				m.Annotations = map[string]string{v1alpha1.AnnotationCircuitBreaker: tc.annotation}
			}
			if r.timed(key, &src, m); r.untilNextExpiry() != tc.want || !src.Faults.Set() {
				t.Errorf("%s: again in %s, %+v", name, r.untilNextExpiry(), src.Faults)
			}
		}
		time.Sleep(time.Minute)
		if r.timed(key, &src, &metav1.ObjectMeta{}); r.untilNextExpiry() != 0 || src.Faults.Set() {
			t.Errorf("when they are over: again in %s, %+v", r.untilNextExpiry(), src.Faults)
		}
	})
}
