package status

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
)

// What is odd by how many nodes and endpoints there are, the message says as long as it is.
func TestReadySaysWhatIsOddBesideWhatThereIs(t *testing.T) {
	const spec = `{to: [{service: {name: api}}], rateLimit: {requests: 2, scope: Cluster},
		circuitBreaker: {consecutiveFailures: 1, scope: Endpoint, maxEjectedPercent: 30}}`
	const burst, ejected = "rateLimit.burst 2 is less than the 3 nodes", "maxEjectedPercent 30 of the 3 endpoints of shop/api is none"
	for name, tc := range map[string]struct {
		nodes          int
		endpoints      int
		burst, ejected bool
	}{
		"neither":                  {2, 4, false, false},
		"more nodes than burst":    {3, 4, true, false},
		"few endpoints":            {2, 3, false, true},
		"more nodes, few of those": {3, 3, true, true},
	} {
		w := indextest.NewWorld()
		w.Services["shop/api"] = indextest.Service{Port: 80, Endpoints: tc.endpoints}
		x := index.New(w, indextest.Exempt)
		src := indextest.RetryPolicy(t, "shop", "p", 1, spec)
		x.SetPolicy("p", src)
		x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
		indextest.Publish(x, indextest.NewPublished())
		v, _ := x.View(src.ID)
		s := Of(&v, &Reports{Rollout: distribute.Rollout{Desired: tc.nodes, Programmed: tc.nodes}}, before(), metav1.NewTime(begin))
		c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
		if strings.Contains(c.Message, burst) != tc.burst || strings.Contains(c.Message, ejected) != tc.ejected || c.Status != metav1.ConditionTrue {
			t.Errorf("%s: %s, %q", name, c.Status, c.Message)
		}
	}
}
