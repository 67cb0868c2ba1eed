package diff

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// Whatever changes what becomes of calls is shown, and the exit status says so.
func TestWhatIsNotNothing(t *testing.T) {
	const head = "apiVersion: policy.fairlead.dev/v1alpha1\nkind: RetryPolicy\nmetadata: {name: p, namespace: shop%s}\nspec:\n"
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := fmt.Sprintf(head, "")
	const get, all = "{name: get, match: [{methods: [GET]}], retry: {maxRetries: 5}}", "{name: all, match: [{path: {value: /}}], retry: {maxRetries: 0}}"
	for name, c := range map[string]struct{ before, after, want string }{
		"order of rules": {
			plain + "  to: [{host: a.example}]\n  rules: [" + get + ", " + all + "]", plain + "  to: [{host: a.example}]\n  rules: [" + all + ", " + get + "]",
			"order of rules get, all all, get",
		},
		"addresses that are left out": {plain + "  to: [{cidr: {block: 10.0.0.0/8}}]", plain + "  to: [{cidr: {block: 10.0.0.0/8, except: [10.1.0.0/16]}}]", "to.cidr.except none 10.1.0.0/16"},
		"the name that a host proves": {
			plain + "  to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System}}}]", plain + "  to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System}, sni: b.example}}]", "to.tls.sni none b.example",
		},
		"the port of TLS": {
			plain + "  to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System}}}]", plain + "  to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System}, port: 8443}}]", "to.tls.port none 8443",
		},
		"what a fallback answers": {
			plain + "  to: [{host: a.example}]\n  fallback: {when: [CircuitOpen], response: {statusCode: 200, body: yes!}}",
			plain + "  to: [{host: a.example}]\n  fallback: {when: [CircuitOpen], response: {statusCode: 200, body: none}}", "a body of 4 bytes, with another content",
		},
		"a circuit breaker that is kept open": {
			plain + "  to: [{host: a.example}]\n  circuitBreaker: {consecutiveFailures: 5}",
			fmt.Sprintf(head, `, annotations: {policy.fairlead.dev/circuit-breaker: "open until 2026-11-27T20:00:00Z"}`) + "  to: [{host: a.example}]\n  circuitBreaker: {consecutiveFailures: 5}",
			"open until 2026-11-27T20:00:00Z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, errOut := clitest.Env(t, shop, write(c.before))
			err := clitest.Run(t, env, New(env), "-f", write(c.after))
			if !errors.Is(err, ErrDiffers) || !strings.Contains(strings.Join(strings.Fields(out.String()), " "), c.want) {
				t.Errorf("%v; it says\n%s%s", err, out, errOut)
			}
		})
	}
}
