package cli

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// Ctrl-C ends every command that waits for an API server, which does not answer here, also where a library asks it without a context.
func TestCommandsEndThoughTheAPIServerSaysNothing(t *testing.T) {
	for _, args := range []string{
		"breakers", "breakers history", "breakers open payments -n shop --for 10m", "dashboard --no-open", "describe payments", "diff -f testdata/change.yaml", "doctor", "endpoints",
		"explain a b:80", "import", "status", "status --watch", "suggest checkout", "support-bundle --file -", "tap", "top", "trace", "version",
	} {
		t.Run(args, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				end()
				<-r.Context().Done()
			}))
			defer server.Close()
			t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
			cmd := New(genericiooptions.NewTestIOStreamsDiscard())
			cmd.SetArgs(append([]string{"--server", server.URL, "--request-timeout", "1h"}, strings.Fields(args)...))
			ended := make(chan error, 1)
			go func() { ended <- cmd.ExecuteContext(ctx) }()
			limit := time.NewTimer(time.Minute)
			defer limit.Stop()
			select {
			case <-ended:
				if ctx.Err() == nil {
					t.Error("it has asked the API server nothing")
				}
			case <-limit.C:
				server.CloseClientConnections()
				t.Error("it goes on")
			}
		})
	}
}
