package index_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

func balancing(out *indextest.Published) map[string][]policy.LoadBalancing {
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
	for name, set := range map[string]func(x *index.Index){
		"by name": func(x *index.Index) {
			x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api, port: http}}], `+rule+`, loadBalancing: {policy: Random}}`))
		},
		"as the callers' own": func(x *index.Index) {
			x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{to: [{service: {name: api, port: http}}], defaults: {`+rule+`, loadBalancing: {policy: Random}}}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := indextest.NewWorld()
			w.Services["shop/api"] = indextest.Service{Port: 80}
			x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
			x.SetNamespace("shop", nil)
			set(x)
			x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
			indextest.Publish(x, out)
			want := func(what string, lb policy.LoadBalancing) {
				t.Helper()
				x.ServiceChanged("shop/api")
				indextest.Publish(x, out)
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
			w.Services["shop/api"] = indextest.Service{Port: 80, ClusterPicks: v1alpha1.ReasonServiceAffinity}
			want("affinity", policy.ClusterIP)
			before := x.Compilations()
			w.Services["shop/api"] = indextest.Service{Port: 80, ClusterPicks: v1alpha1.ReasonServiceAffinity, Endpoints: 3}
			want("more endpoints", policy.ClusterIP)
			if x.Compilations() != before {
				t.Errorf("profiles were compiled again for a change of endpoints")
			}
			w.Services["shop/api"] = indextest.Service{Port: 80}
			want("nothing any more", policy.RandomEndpoint)
		})
	}
}

// A last good version, which is not read again, follows its Service too.
func TestAVersionThatStaysInForceFollowsItsService(t *testing.T) {
	w := indextest.NewWorld()
	w.Services["shop/api"] = indextest.Service{Port: 80}
	x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}]}`))
	x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
	indextest.Publish(x, out)
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 2, `{to: [{service: {name: api}}, {service: {name: nowhere}}]}`))
	indextest.Publish(x, out)
	w.Services["shop/api"] = indextest.Service{Port: 80, ClusterPicks: v1alpha1.ReasonServiceTrafficPolicy}
	x.ServiceChanged("shop/api")
	indextest.Publish(x, out)
	if got := balancing(out); got["shop/p"][0] != policy.ClusterIP {
		t.Errorf("balancing %v", got)
	}
}

// So does one whose policy names other Services by now.
func TestAVersionThatStaysInForceFollowsAServiceThatIsNotNamedAnyMore(t *testing.T) {
	w := indextest.NewWorld()
	w.Services["shop/api"] = indextest.Service{Port: 80}
	x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}]}`))
	x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
	indextest.Publish(x, out)
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 2, `{to: [{service: {name: nowhere}}]}`))
	indextest.Publish(x, out)
	w.Services["shop/api"] = indextest.Service{Port: 80, ClusterPicks: v1alpha1.ReasonServiceTrafficPolicy}
	x.ServiceChanged("shop/api")
	indextest.Publish(x, out)
	if got := balancing(out); got["shop/p"][0] != policy.ClusterIP {
		t.Errorf("balancing %v", got)
	}
	x.DeletePolicy(policy.ParseID("shop/p"))
	x.DeletePod("shop", "a")
	indextest.Publish(x, out)
	x.Published(1)
	if n := x.Remembered(); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

// A binding of another Service that is compiled from the same policies keeps its own balancing.
func TestOnlyTheServiceThatAsksIsLeftToTheCluster(t *testing.T) {
	w := indextest.NewWorld()
	w.Services["shop/api"] = indextest.Service{Port: 80, ClusterPicks: v1alpha1.ReasonServiceAffinity}
	w.Services["shop/web"] = indextest.Service{Port: 80}
	x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api}}, {service: {name: web}}, {host: a.example}],
		rules: [{name: r, match: [{methods: [GET]}], retry: {maxRetries: 1}}], loadBalancing: {policy: RoundRobin}}`))
	x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
	indextest.Publish(x, out)
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
