package cluster

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/liveapi"
)

// A destination that is not among the calls is said not to exist only where the manager would know of it.
func TestADestinationThatMayExistIsNoError(t *testing.T) {
	for name, tc := range map[string]struct {
		heard time.Duration // for how long the manager has kept calls
		other uint64        // calls that it does not keep apart
		err   string
		note  string
	}{
		"the manager has kept calls for an hour":       {heard: time.Hour, err: "was called within the last 60m"},
		"the manager has kept calls for a while":       {heard: 12 * time.Minute, err: "was called within the last 12m"},
		"the manager has just begun":                   {note: "for 0s"},
		"agents have not all reported to this manager": {heard: 40 * time.Second, note: "for 40s"},
		"more is called than is kept apart":            {heard: time.Hour, other: 7, note: "7 calls"},
	} {
		t.Run(name, func(t *testing.T) {
			c, now := asktest.New(t), time.Now()
			c.Add("fairlead-manager", "manager", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				liveapi.Answer(w, liveapi.Inventory{From: now.Add(-tc.heard), To: now, Other: liveapi.Flow{Calls: tc.other}})
			}))
			live, err := c.Env.Client()
			if err != nil {
				t.Fatal(err)
			}
			d, err := New(Options{Env: c.Env, Client: live, Reach: c.Reach}).Destination(t.Context(), "shop/none:80", time.Minute)
			if tc.err != "" {
				var missing *dashboard.NotFoundError
				if !errors.As(err, &missing) || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || !strings.Contains(strings.Join(d.Notes, "; "), tc.note) {
				t.Errorf("%+v, %v, want a note that says %q", d, err, tc.note)
			}
		})
	}
}
