package cluster

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/liveapi"
)

// A page of changes asks the manager for what it shows, whatever kind is chosen: answers go through the API server, for each page that is open.
func TestChangesAreAskedForOnce(t *testing.T) {
	for _, kind := range []string{"", "BreakerOpened"} {
		c := asktest.New(t)
		c.Add("fairlead-manager", "manager", "node-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == liveapi.ChangesPath {
				liveapi.Answer(w, liveapi.List[liveapi.Change]{Items: []liveapi.Change{{Kind: "BreakerOpened"}}})
				return
			}
			liveapi.Answer(w, liveapi.Inventory{})
		}))
		live, err := c.Env.Client()
		if err != nil {
			t.Fatal(err)
		}
		got, err := New(Options{Env: c.Env, Client: live, Reach: c.Reach}).Changes(t.Context(), dashboard.ChangesQuery{Since: time.Hour, Kind: kind, Limit: 5})
		if err != nil || len(got.Items) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		asked := slices.DeleteFunc(c.Asked, func(a string) bool { return !strings.Contains(a, liveapi.ChangesPath) })
		if len(asked) != 1 || !strings.Contains(asked[0], "limit=6") {
			t.Errorf("of kind %q: asked for %q", kind, asked)
		}
	}
}
