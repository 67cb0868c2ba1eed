package status

import (
	"testing"

	"fairlead.dev/fairlead/internal/cli/clitest"
)

const shop = "../testdata/shop.yaml"

func TestWhatIsPrinted(t *testing.T) {
	for name, args := range map[string][]string{
		"status":           {},
		"status-wide":      {"-o", "wide", "-n", "shop"},
		"status-name":      {"-o", "name"},
		"status-json":      {"-o", "json"},
		"status-namespace": {"-n", "billing"},
		"status-selector":  {"-l", "team in (shop"},
		"status-format":    {"-o", "xml"},
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
