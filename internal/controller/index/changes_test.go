package index_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
)

func TestPartsOfChangesAreAllOfThem(t *testing.T) {
	for profiles := range 12 {
		for n := 1; n < 6; n++ {
			w := indextest.NewWorld()
			x := index.New(w, indextest.Exempt)
			for i := range profiles {
				ns := fmt.Sprintf("ns-%d", i)
				src := indextest.RetryPolicy(t, ns, "p", 1, `{to: [{any: {}}]}`)
				w.Policies[src.ID] = indextest.Policy{UID: "p", Source: src}
				x.SetPolicy("p", src)
				p := indextest.RunningPod(ns, "pod", "node", "a")
				w.Pods[ns+"/pod"] = p
				x.SetPod(p)
			}
			changes, _ := x.Publish(compileAll(x.Take()))
			parts, out := changes.Split(n), indextest.NewPublished()
			for _, part := range parts {
				part.SendTo(out)
			}
			if diff := cmp.Diff(w.Expected(), out, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" || len(parts) > n {
				t.Errorf("%d profiles in %d parts: %s", profiles, len(parts), diff)
			}
		}
	}
}
