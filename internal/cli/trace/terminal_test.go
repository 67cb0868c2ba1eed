package trace

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/screen/screentest"
	"fairlead.dev/fairlead/internal/liveapi"
)

// On a terminal steps stand there while they come, in colour, and stay there when the call has ended; without colours where nobody wants them.
func TestATraceOnATerminal(t *testing.T) {
	for name, tc := range map[string]struct {
		env, args     []string
		colour, plain bool
	}{
		"in colour":       {nil, nil, true, false},
		"without colours": {[]string{"NO_COLOR", "1"}, nil, false, false},
		"plain":           {nil, []string{"--plain"}, false, true},
		"a dumb terminal": {[]string{"TERM", "dumb"}, nil, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			terminal := screentest.New(t, 80, 40)
			if tc.env != nil {
				t.Setenv(tc.env[0], tc.env[1])
			}
			_, _ = terminal.TTY.WriteString("$ kubectl fairlead trace\r\n")
			terminal.Await("$ kubectl")
			c, release := asktest.New(t), make(chan struct{})
			c.Add("fairlead-agent", "agent-1", "node-1", slowAgent("node-1", recovered(), 14, release))
			c.Env.In, c.Env.Terminal = terminal.TTY, terminal.TTY
			if tc.plain {
				c.Env.Out, c.Env.ErrOut = terminal.TTY, terminal.TTY
			}
			done := make(chan error, 1)
			go func() { done <- runTrace(t, c, tc.args...) }()
			text := terminal.Await("attempt 2 (retry)", "503 after 7ms")
			if strings.Contains(text, "attempts, recovered") || !tc.plain && !strings.Contains(text, "on node node-1, ") {
				t.Errorf("before the call has ended it shows\n%s", text)
			}
			close(release)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			text = terminal.AwaitEnd("200 in 119ms, 2 attempts, recovered.")
			if !strings.Contains(text, "$ kubectl fairlead trace") || !strings.Contains(text, "policy shop/payments, rule charge") || strings.Contains(text, "q quit") {
				t.Errorf("left behind is\n%s", text)
			}
			if got := strings.Contains(terminal.Raw(), "\x1b[33m"); got != tc.colour {
				t.Errorf("in colour: %t, %q", got, terminal.Raw())
			}
			if tc.plain && strings.Contains(terminal.Raw(), "\x1b") || !tc.plain && c.Out.Len()+c.Err.Len() > 0 {
				t.Errorf("printed is %s%s", c.Out, c.Err)
			}
		})
	}
}

// slowAgent is an agent that waits for release after the first lines.
func slowAgent(node string, lines []liveapi.TraceLine, first int, release <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := json.NewEncoder(w)
		for n, l := range append([]liveapi.TraceLine{{}}, lines...) {
			if n > first {
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
			l.Node = node
			_ = to.Encode(l)
			_ = http.NewResponseController(w).Flush()
		}
	})
}

// Who has waited for long enough ends a trace by a key, which is no error.
func TestATraceIsEndedByAKey(t *testing.T) {
	for _, key := range []string{"q", "\x03"} {
		terminal := screentest.New(t, 80, 24)
		c := asktest.New(t)
		c.Add("fairlead-agent", "agent-1", "node-1", slowAgent("node-1", recovered(), 0, nil))
		c.Env.In, c.Env.Terminal = terminal.TTY, terminal.TTY
		done := make(chan error, 1)
		go func() { done <- runTrace(t, c, "--policy", "none", "--timeout", "10m") }()
		terminal.Await("waiting for a call that matches, for 10m0s at most, ")
		terminal.Type(key)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// What agents refuse is an error, on a terminal too.
func TestARefusedTraceOnATerminal(t *testing.T) {
	terminal := screentest.New(t, 80, 24)
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", http.NotFoundHandler())
	c.Env.In, c.Env.Terminal = terminal.TTY, terminal.TTY
	if err := runTrace(t, c); err == nil || !strings.Contains(err.Error(), "it is of an earlier version") {
		t.Errorf("ended with %v", err)
	}
	if terminal.Raw() != "" {
		t.Errorf("drawn is %q", terminal.Raw())
	}
}
