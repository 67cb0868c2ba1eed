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

// Help says what the program was called as, in every command.
func TestHelpSaysHowTheProgramWasCalled(t *testing.T) {
	for program, tc := range map[string]struct{ has, hasNot string }{
		"/usr/local/bin/fairlead":         {"fairlead", "kubectl fairlead"},
		"fairlead.exe":                    {"fairlead", "kubectl fairlead"},
		"/usr/local/bin/kubectl-fairlead": {"kubectl fairlead", "kubectl kubectl"},
	} {
		streams, _, out, _ := genericiooptions.NewTestIOStreams()
		cmd := New(streams)
		CallAs(cmd, program)
		for _, of := range append(cmd.Commands(), cmd) {
			out.Reset()
			cmd.SetArgs([]string{of.Name(), "--help"})
			if of == cmd {
				cmd.SetArgs([]string{"--help"})
			}
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if text := out.String(); !strings.Contains(text, tc.has) || strings.Contains(text, tc.hasNot) {
				t.Errorf("%s %s --help prints\n%s", program, of.Name(), text)
			}
		}
	}
}
