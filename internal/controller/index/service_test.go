package index_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

// portsOf lists the ports of every profile's bindings.
func portsOf(out *indextest.Published) map[string][]uint16 {
	got := map[string][]uint16{}
	for name, p := range out.Profiles {
		for i := range p.Bindings {
			got[name] = append(got[name], p.Bindings[i].To.Ports...)
		}
	}
	return got
}

// A Service whose port changes its number is followed at once, whoever names it and however.
func TestAServiceIsFollowed(t *testing.T) {
	for name, tc := range map[string]struct {
		profile string
		set     func(x *index.Index)
	}{
		"by name": {"shop/p", func(x *index.Index) {
			x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{service: {name: api, port: http}}]}`))
		}},
		"as the callers' own": {"c@shop", func(x *index.Index) {
			x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{to: [{service: {name: api, port: http}}], defaults: {retry: {maxRetries: 1}}}`))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := indextest.NewWorld()
			w.Services["shop/api"] = indextest.Service{Port: 80}
			x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
			x.SetNamespace("shop", nil)
			tc.set(x)
			x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
			indextest.Publish(x, out)
			want := func(what string, port uint16) {
				t.Helper()
				x.ServiceChanged("shop/api")
				indextest.Publish(x, out)
				if diff := cmp.Diff(map[string][]uint16{tc.profile: {port}}, portsOf(out)); diff != "" {
					t.Errorf("%s: ports (-want +got):\n%s", what, diff)
				}
			}
			want("at first", 80)
			w.Services["shop/api"] = indextest.Service{Port: 81}
			want("another number", 81)
			before := x.Compilations()
			w.Services["shop/api"] = indextest.Service{Port: 81, Affinity: true, Endpoints: 3}
			want("other endpoints, and how they are chosen", 81)
			if x.Compilations() != before {
				t.Errorf("profiles were compiled again for a change that concerns the destination alone")
			}
			if d := out.Destinations["shop/api"]; len(d.Ports[0].Endpoints) != 3 {
				t.Errorf("destination %+v", d)
			}
		})
	}
}

// A last good version of a policy that names the callers' own Services follows them too, though it is not read again: also one whose policy
// names other Services by now.
func TestAVersionThatStaysInForceFollowsItsServices(t *testing.T) {
	const nowhere = `{service: {name: nowhere, namespace: shop}}`
	for name, to := range map[string]string{
		"named still":   `{service: {name: api, port: http}}, ` + nowhere,
		"not named now": nowhere,
	} {
		t.Run(name, func(t *testing.T) {
			w := indextest.NewWorld()
			w.Services["shop/api"] = indextest.Service{Port: 80}
			x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
			x.SetNamespace("shop", nil)
			x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 1, `{to: [{service: {name: api, port: http}}], defaults: {}}`))
			x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
			indextest.Publish(x, out)
			x.SetPolicy("c", indextest.ClusterPolicy(t, "c", 2, `{to: [`+to+`], defaults: {}}`))
			indextest.Publish(x, out)
			w.Services["shop/api"] = indextest.Service{Port: 81}
			x.ServiceChanged("shop/api")
			indextest.Publish(x, out)
			if diff := cmp.Diff(map[string][]uint16{"c@shop": {81}}, portsOf(out)); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
			x.DeletePolicy(policy.ParseID("c"))
			x.DeletePod("shop", "a")
			x.DeleteNamespace("shop")
			indextest.Publish(x, out)
			x.Published(1)
			if n := x.Remembered(); n != 0 {
				t.Errorf("%d things are left", n)
			}
		})
	}
}

// A Service that calls fall back on goes to the nodes like one that they call, and its coming and going is noticed.
func TestAServiceThatCallsFallBackOnIsFollowed(t *testing.T) {
	w := indextest.NewWorld()
	w.Services["shop/api"] = indextest.Service{Port: 80}
	x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
	x.SetNamespace("shop", nil)
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1,
		`{to: [{service: {name: api}}], fallback: {destination: {service: {name: backup, namespace: other, port: http}}}}`))
	x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
	indextest.Publish(x, out)
	if len(out.Profiles) != 0 {
		t.Fatalf("profiles %v, though there is no such Service", out.Profiles)
	}
	w.Services["other/backup"] = indextest.Service{Port: 8080, Endpoints: 2}
	x.ServiceChanged("other/backup")
	indextest.Publish(x, out)
	if d := out.Destinations["other/backup"]; d == nil || len(d.Ports[0].Endpoints) != 2 {
		t.Fatalf("destination %+v", d)
	}
	w.Services["other/backup"] = indextest.Service{Port: 8081, Endpoints: 3}
	x.ServiceChanged("other/backup")
	indextest.Publish(x, out)
	to := out.Profiles["shop/p"].Bindings[0].Base.Fallback.Destination
	if d := out.Destinations["other/backup"]; len(d.Ports[0].Endpoints) != 3 || to.Ports[0] != 8081 {
		t.Errorf("destination %+v, called as %+v", d, to)
	}
	x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 2, `{to: [{service: {name: api}}]}`))
	indextest.Publish(x, out)
	if d := out.Destinations["other/backup"]; d != nil {
		t.Errorf("destination %+v, which nobody names", d)
	}
}
