package status

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
)

func TestStatusSaysThatTheClusterPicks(t *testing.T) {
	for name, tc := range map[string]struct {
		balancing string
		enforced  v1alpha1.Enforcement
		fields    []v1alpha1.NotEnforcedField
		ready     string
	}{
		"nothing written": {``, v1alpha1.EnforcementFull, nil, "The cluster picks the endpoints of shop/api, as its sessionAffinity asks."},
		"written": {`, loadBalancing: {policy: RoundRobin}`, v1alpha1.EnforcementPartial,
			[]v1alpha1.NotEnforcedField{{Field: "loadBalancing.policy", Reason: v1alpha1.ReasonServiceAffinity}},
			"Left to the cluster, as the Service's sessionAffinity asks: loadBalancing.policy."},
		"written as it is": {`, loadBalancing: {policy: ClusterIP}`, v1alpha1.EnforcementFull, nil, "In force for 1 pod on 1 node."},
		"another endpoint for each retry": {`, retry: {avoidPreviousEndpoints: true}`, v1alpha1.EnforcementPartial,
			[]v1alpha1.NotEnforcedField{{Field: "retry.avoidPreviousEndpoints", Reason: v1alpha1.ReasonServiceAffinity}},
			"Left to the cluster, as the Service's sessionAffinity asks: retry.avoidPreviousEndpoints."},
	} {
		t.Run(name, func(t *testing.T) {
			w := indextest.NewWorld()
			w.Services["shop/api"] = indextest.Service{Port: 80, Endpoints: 1, ClusterPicks: v1alpha1.ReasonServiceAffinity}
			w.Services["shop/web"] = indextest.Service{Port: 80, Endpoints: 1}
			x := index.New(w, indextest.Exempt)
			src := indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}, {service: {name: web}}]`+tc.balancing+`}`)
			x.SetPolicy("p", src)
			x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
			indextest.Publish(x, indextest.NewPublished())
			v, _ := x.View(src.ID)
			s := Of(&v, &Reports{Rollout: distribute.Rollout{Desired: 1, Programmed: 1}}, before(), metav1.NewTime(begin))
			if d := s.Destinations[0]; d.Enforced != tc.enforced || !cmp.Equal(d.NotEnforced, tc.fields) {
				t.Errorf("%s: enforced %s, not: %v", d.To, d.Enforced, d.NotEnforced)
			}
			if d := s.Destinations[1]; d.Enforced != v1alpha1.EnforcementFull {
				t.Errorf("%s: enforced %s, not: %v", d.To, d.Enforced, d.NotEnforced)
			}
			ready := ""
			for _, c := range s.Conditions {
				switch c.Type {
				case v1alpha1.ConditionReady:
					ready = c.Message
				case v1alpha1.ConditionAccepted:
					if c.Reason != v1alpha1.ReasonAccepted {
						t.Errorf("accepted with %s", c.Reason)
					}
				}
			}
			if !strings.Contains(ready, tc.ready) {
				t.Errorf("ready: %q, want %q in it", ready, tc.ready)
			}
		})
	}
}

func TestDestinationsSayWhatIsEnforcedWhileAnEarlierVersionIsInForce(t *testing.T) {
	x := index.New(indextest.NewWorld(), indextest.Exempt)
	src := indextest.RetryPolicy(t, "shop", "p", 2, `{to: [{service: {name: gone, port: http}}, {host: a.example}]}`)
	src.InForce = 2
	x.SetPolicy("p", src)
	x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
	indextest.Publish(x, indextest.NewPublished())
	v, _ := x.View(src.ID)
	for _, d := range Of(&v, &Reports{}, before(), metav1.NewTime(begin)).Destinations {
		if d.Enforced != v1alpha1.EnforcementPartial { // it is called on 443 too
			t.Errorf("%s is enforced: %s", d.To, d.Enforced)
		}
	}
}
