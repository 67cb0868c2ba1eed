package importer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/cli/gather"
)

// Whatever stands in the fields of an object, it is read or listed, and what is made of it is accepted.
func TestObjectsOfAnyForm(t *testing.T) {
	env, _, _ := clitest.Env(t)
	from := gather.Files{Names: []string{"testdata/istio.yaml", "testdata/gateway.yaml", "testdata/linkerd.yaml"}}
	objects, err := from.Objects(env)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		var all []*unstructured.Unstructured
		for _, u := range objects {
			u = u.DeepCopy()
			for range 1 + r.IntN(3) {
				u.Object["spec"] = mutated(r, u.Object["spec"])
			}
			all = append(all, u)
		}
		if err := importMutated(all, r); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

func importMutated(all []*unstructured.Unstructured, r *rand.Rand) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panics: %v", p)
		}
	}()
	got := Import(all, Options{Cluster: r.IntN(2) == 0, Gateways: r.IntN(2) == 0})
	return got.keepAccepted(checker().Check)
}

// mutated puts something else in one place of a value.
func mutated(r *rand.Rand, v any) any {
	switch of := v.(type) {
	case map[string]any:
		if keys := slices.Sorted(maps.Keys(of)); len(keys) > 0 && r.IntN(8) > 0 {
			key := keys[r.IntN(len(keys))]
			of[key] = mutated(r, of[key])
			return of
		}
	case []any:
		if len(of) > 0 && r.IntN(8) > 0 {
			i := r.IntN(len(of))
			of[i] = mutated(r, of[i])
			return of
		}
	}
	return []any{
		nil, "", "x", "-1s", "99999h", "1e309", "*", "a.b.c.d", "x\x00y", int64(-1), int64(0), int64(1) << 40, 0.5, true, []any{}, []any{nil}, []any{"x", map[string]any{}},
		map[string]any{}, map[string]any{"": nil}, map[string]any{"exact": "/a"}, map[string]any{"regex": "("},
	}[r.IntN(21)]
}
