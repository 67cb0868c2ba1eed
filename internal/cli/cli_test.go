package cli

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"fairlead.dev/fairlead/internal/cli/diff"
)

func TestExitStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		err     error
		status  int
		reports bool
	}{
		"done":                  {nil, 0, false},
		"failed":                {errors.New("no"), 1, true},
		"differences":           {diff.ErrDiffers, 1, false},
		"could not be compared": {&diff.FailedError{Err: errors.New("no")}, 2, true},
	} {
		if got := ExitStatus(tc.err); got != tc.status || Reports(tc.err) != tc.reports {
			t.Errorf("%s: exit status %d, reported %v", name, got, Reports(tc.err))
		}
	}
}

func TestTheVersionOfThePluginNeedsNoCluster(t *testing.T) {
	streams, _, out, _ := genericiooptions.NewTestIOStreams()
	cmd := New(streams)
	cmd.SetArgs([]string{"version", "--client", "-o", "json"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"version": "`) || strings.Contains(out.String(), "server") {
		t.Errorf("printed %s", out)
	}
}

func TestWhatIsNoCommandIsRefused(t *testing.T) {
	for _, args := range [][]string{{"expain"}, {"status", "shop"}, {"breakers", "opn"}} {
		cmd := New(genericiooptions.NewTestIOStreamsDiscard())
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%v is no command, and was run", args)
		}
	}
}
