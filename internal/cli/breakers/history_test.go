package breakers

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/liveapi"
)

// changesOf are what a manager has kept, the latest first.
func changesOf() []liveapi.Change {
	at := func(ago time.Duration) time.Time { return clitest.Now.Add(-ago) }
	return []liveapi.Change{
		{At: at(time.Minute), Kind: "BreakerOpened", Policy: "shop/payments", Target: "service billing/payments:80", Note: "A circuit breaker opened for service billing/payments:80."},
		{At: at(2 * time.Minute), Kind: "AgentGone", Node: "node-1", Note: "v0.9.0"},
		{At: at(5 * time.Minute), Kind: "BreakerForced", Policy: "shop/payments", Note: "Open until 2026-11-27T12:10:00Z by kubectl-fairlead: calls are rejected."},
		{At: at(10 * time.Minute), Kind: "BreakerClosed", Policy: "shop/payments", Target: "service billing/payments:80", Note: "All circuit breakers for service billing/payments:80 are closed again."},
		{At: at(11 * time.Minute), Kind: "BreakerClosed", Policy: "base", Target: "any", Note: "All circuit breakers for any are closed again."},
		{At: at(12*time.Minute + 30*time.Second), Kind: "BreakerOpened", Policy: "shop/payments", Target: "service billing/payments:80", Note: "A circuit breaker opened for service billing/payments:80."},
		{At: at(15 * time.Minute), Kind: "BreakerGone", Policy: "billing/ledger", Target: "host ledger.example:443", Note: "The last circuit breaker that was open for host ledger.example:443 is gone."},
		{At: at(20 * time.Minute), Kind: "BreakerOpened", Policy: "billing/ledger", Target: "host ledger.example:443", Note: "A circuit breaker opened for host ledger.example:443."},
	}
}

func TestWhenBreakersOpened(t *testing.T) {
	for name, args := range map[string][]string{
		"history":             {"-A"},
		"history-wide":        {"-n", "shop", "-o", "wide"},
		"history-destination": {"-A", "--destination", "billing/payments"},
		"history-name":        {"-A", "-o", "name"},
		"history-labels":      {"-A", "-l", "team=billing", "-o", "json"},
		"history-policy":      {"payments", "-n", "shop", "--since", "24h", "--no-headers"},
		"history-none":        {"-A", "--destination", "elsewhere"},
		"history-since":       {"--since", "200h"},
		"history-interval":    {"--watch", "--interval", "1ms"},
	} {
		t.Run(name, func(t *testing.T) {
			ledger := &v1alpha1.RetryPolicy{}
			ledger.Namespace, ledger.Name, ledger.Labels = "billing", "ledger", map[string]string{"team": "billing"}
			c := asktest.New(t, ledger)
			c.Env.Now = func() time.Time { return clitest.Now }
			c.Add("fairlead-manager", "manager-0", "node-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				all := liveapi.List[liveapi.Change]{At: clitest.Now, Items: changesOf()}
				if r.URL.Path != liveapi.ChangesPath {
					http.NotFound(w, r)
					return
				}
				kind := r.URL.Query().Get("kind")
				all.Items = slices.DeleteFunc(all.Items, func(c liveapi.Change) bool { return kind != "" && c.Kind != kind })
				liveapi.Answer(w, all)
			}))
			if err := clitest.Run(t, c.Env, newCommand(c.Env, c.Reach), append([]string{"history"}, args...)...); err != nil {
				c.Out.WriteString("error: " + err.Error() + "\n")
			}
			clitest.Golden(t, name, c.Out.String()+c.Err.String())
			if name == "history-policy" && !strings.HasSuffix(c.Asked[0], "?kind=BreakerClosed&limit=4096&policy=shop%2Fpayments&since=24h0m0s") {
				t.Errorf("asked %v", c.Asked)
			}
		})
	}
}
