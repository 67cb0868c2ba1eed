package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/policy"
)

func balancing(out *published) map[string][]policy.LoadBalancing {
	got := map[string][]policy.LoadBalancing{}
	for name, p := range out.Profiles {
		for i := range p.Bindings {
			got[name] = append(got[name], p.Bindings[i].Base.LoadBalancing)
			for j := range p.Bindings[i].Rules {
				got[name] = append(got[name], p.Bindings[i].Rules[j].Settings.LoadBalancing)
			}
		}
	}
	return got
}

// A Service that begins or ceases to ask for something changes what agents do at once, whoever names it and however.
func TestAServiceThatAsksForTheClustersChoiceGetsIt(t *testing.T) {
	const rule = `rules: [{name: r, match: [{methods: [GET]}], retry: {maxRetries: 1}}]`
	for name, tell := range map[string]func(x *index){
		"by name": func(x *index) {
			x.setPolicy("p", retryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api, port: http}}], `+rule+`, loadBalancing: {policy: Random}}`))
		},
		"as the callers' own": func(x *index) {
			x.setPolicy("c", clusterPolicy(t, "c", 1, `{to: [{service: {name: api, port: http}}], defaults: {`+rule+`, loadBalancing: {policy: Random}}}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.services["shop/api"] = service{port: 80}
			x, out := newIndex(w, "fairlead-system"), newPublished()
			x.setNamespace("shop", nil)
			tell(x)
			x.setPod(testPod("shop", "a", "node-1", "a"))
			x.flush(out)
			want := func(what string, lb policy.LoadBalancing) {
				t.Helper()
				x.serviceChanged("shop/api")
				x.flush(out)
				for name, got := range balancing(out) {
					if diff := cmp.Diff([]policy.LoadBalancing{lb, lb}, got); diff != "" {
						t.Errorf("%s: %s: binding and rule (-want +got):\n%s", what, name, diff)
					}
				}
				if len(out.Profiles) != 1 {
					t.Errorf("%s: %d profiles", what, len(out.Profiles))
				}
			}
			want("nothing asked", policy.RandomEndpoint)
			w.services["shop/api"] = service{port: 80, affinity: true}
			want("affinity", policy.ClusterIP)
			before := x.compiles
			w.services["shop/api"] = service{port: 80, affinity: true, endpoints: 3}
			want("more endpoints", policy.ClusterIP)
			if x.compiles != before {
				t.Errorf("profiles were drawn again for a change of endpoints")
			}
			w.services["shop/api"] = service{port: 80}
			want("nothing any more", policy.RandomEndpoint)
		})
	}
}

// A last good version, which is not read again, follows its Service too.
func TestAVersionThatStaysInForceFollowsItsService(t *testing.T) {
	w := newWorld()
	w.services["shop/api"] = service{port: 80}
	x, out := newIndex(w, "fairlead-system"), newPublished()
	x.setPolicy("p", retryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}]}`))
	x.setPod(testPod("shop", "a", "node-1", "a"))
	x.flush(out)
	x.setPolicy("p", retryPolicy(t, "shop", "p", 2, `{to: [{service: {name: api}}, {service: {name: nowhere}}]}`))
	x.flush(out)
	w.services["shop/api"] = service{port: 80, affinity: true}
	x.serviceChanged("shop/api")
	x.flush(out)
	if got := balancing(out); got["shop/p"][0] != policy.ClusterIP {
		t.Errorf("balancing %v", got)
	}
}

// A binding of another Service that is drawn from the same policies keeps its own balancing.
func TestOnlyTheServiceThatAsksIsLeftToTheCluster(t *testing.T) {
	w := newWorld()
	w.services["shop/api"] = service{port: 80, affinity: true}
	w.services["shop/web"] = service{port: 80}
	x, out := newIndex(w, "fairlead-system"), newPublished()
	x.setPolicy("p", retryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}, {service: {name: web}}, {host: a.example}],
		rules: [{name: r, match: [{methods: [GET]}], retry: {maxRetries: 1}}], loadBalancing: {policy: RoundRobin}}`))
	x.setPod(testPod("shop", "a", "node-1", "a"))
	x.flush(out)
	got := map[string][]policy.LoadBalancing{}
	for _, b := range out.Profiles["shop/p"].Bindings {
		got[b.To.String()] = []policy.LoadBalancing{b.Base.LoadBalancing, b.Rules[0].Settings.LoadBalancing}
	}
	want := map[string][]policy.LoadBalancing{
		"service shop/api": {policy.ClusterIP, policy.ClusterIP},
		"service shop/web": {policy.RoundRobin, policy.RoundRobin},
		"host a.example":   {policy.RoundRobin, policy.RoundRobin},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

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
			w := newWorld()
			w.services["shop/api"] = service{port: 80, endpoints: 1, affinity: true}
			w.services["shop/web"] = service{port: 80, endpoints: 1}
			x := newIndex(w, "fairlead-system")
			src := retryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}, {service: {name: web}}]`+tc.balancing+`}`)
			x.setPolicy("p", src)
			x.setPod(testPod("shop", "a", "node-1", "a"))
			x.flush(newPublished())
			v, _ := x.view(src.ID)
			s := statusOf(&v, &reported{rollout: distribute.Rollout{Desired: 1, Programmed: 1}}, before(), metav1.NewTime(begin))
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
