package index_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

// populate makes a world of namespaces ns-0 … with one policy and some pods each.
func populate(t testing.TB, namespaces, pods int) (*indextest.World, *index.Index, *indextest.Published) {
	t.Helper()
	w := indextest.NewWorld()
	x, out := index.New(w, indextest.Exempt), indextest.NewPublished()
	for n := range namespaces {
		ns := fmt.Sprintf("ns-%d", n)
		w.Namespaces[ns] = labels.Set{"name": ns}
		w.Services[ns+"/api"] = indextest.Service{Port: 80, Endpoints: 1}
		x.SetNamespace(ns, w.Namespaces[ns])
		src := indextest.RetryPolicy(t, ns, "p", 1, `{podSelector: {matchLabels: {app: a}}, to: [{service: {name: api}}]}`)
		w.Policies[src.ID] = indextest.Policy{UID: "p-" + types.UID(ns), Source: src}
		x.SetPolicy("p-"+types.UID(ns), src)
		for i := range pods {
			p := indextest.RunningPod(ns, fmt.Sprintf("pod-%d", i), fmt.Sprintf("node-%d", i), "a")
			w.Pods[ns+"/"+p.Name] = p
			x.SetPod(p)
		}
	}
	indextest.Publish(x, out)
	return w, x, out
}

func sortedNames(ids []policy.ID) []string {
	names := map[string]struct{}{}
	for _, id := range ids {
		names[id.String()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names))
}
