package diff

import (
	"testing"

	"fairlead.dev/fairlead/internal/cli/clitest"
)

const shop = "../testdata/shop.yaml"

func TestWhatIsPrinted(t *testing.T) {
	for name, args := range map[string][]string{
		"diff":        {"-f", "../testdata/change.yaml"},
		"diff-json":   {"-f", "../testdata/change.yaml", "-o", "json"},
		"diff-same":   {"-f", shop},
		"diff-delete": {"-f", "../testdata/change.yaml", "--delete"},
		"diff-none":   {},
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
