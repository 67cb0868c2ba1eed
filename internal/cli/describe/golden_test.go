package describe

import (
	"testing"

	"fairlead.dev/fairlead/internal/cli/clitest"
)

const shop = "../testdata/shop.yaml"

func TestWhatIsPrinted(t *testing.T) {
	for name, args := range map[string][]string{
		"describe":         {"payments", "-n", "shop"},
		"describe-partner": {"partner", "-n", "shop"},
		"describe-cluster": {"crp/base"},
		"describe-new":     {"new", "-n", "shop"},
		"describe-json":    {"crp/guard", "-o", "json"},
		"describe-missing": {"missing", "-n", "shop"},
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
