package status

import (
	"context"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/clitest"
)

// lines passes on what is printed, line by line.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		l <- line
	}
	return len(p), nil
}

// With --watch, what changes is printed, and what does not is not printed again.
func TestWatch(t *testing.T) {
	env, _, _ := clitest.Env(t, shop)
	printed := make(lines, 100)
	env.Out = printed
	cmd := New(env)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"--watch", "-o", "name"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	for range 3 { // new, partner and payments
		<-printed
	}
	c, err := env.Client()
	if err != nil {
		t.Fatal(err)
	}
	var p v1alpha1.RetryPolicy
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "payments"}, &p); err != nil {
		t.Fatal(err)
	}
	p.Status.Conditions[len(p.Status.Conditions)-1].Message = "changed"
	if err := c.Status().Update(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	if got := <-printed; got != "retrypolicy.policy.fairlead.dev/payments\n" {
		t.Errorf("printed %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(printed) > 0 {
		t.Errorf("printed %q too", <-printed)
	}
}
