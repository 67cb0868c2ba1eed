package breakers

import (
	"testing"

	"fairlead.dev/fairlead/internal/cli/clitest"
)

const shop = "../testdata/shop.yaml"

func TestWhatIsPrinted(t *testing.T) {
	for name, args := range map[string][]string{
		"breakers":            {"-A", "-o", "wide"},
		"breakers-json":       {"-n", "shop", "-o", "json"},
		"breakers-none":       {"-n", "billing"},
		"breakers-close":      {"close", "payments", "-n", "shop", "--for", "10m", "--destination", "billing/payments:80"},
		"breakers-open-entry": {"open", "payments", "-n", "shop", "--for", "90s", "--destination", "0", "--dry-run"},
		"breakers-reset":      {"reset", "rp/payments", "-n", "shop"},
		"breakers-nothing":    {"reset", "crp/guard"},
		"breakers-too-long":   {"open", "payments", "-n", "shop", "--for", "25h"},
		"breakers-where":      {"open", "payments", "-n", "shop", "--for", "1m", "--destination", "elsewhere"},
		"breakers-who":        {"open", "nobody", "-n", "shop", "--for", "1m"},
		"breakers-what":       {"open", "deployment/x", "-n", "shop", "--for", "1m"},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, errOut := clitest.Env(t, shop)
			if err := clitest.Run(t, env, New(env), args...); err != nil {
				out.WriteString("error: " + err.Error() + "\n")
			}
			clitest.Golden(t, name, out.String()+errOut.String())
		})
	}
}
