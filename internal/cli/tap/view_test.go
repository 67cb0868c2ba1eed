package tap

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/cli/screen/screentest"
	"fairlead.dev/fairlead/internal/liveapi"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // views show the time of day
	os.Exit(m.Run())
}

func shown(v *view) string {
	var out strings.Builder
	for _, s := range strings.Split(ansi.Strip(v.list.View().Content), "\n") {
		out.WriteString(strings.TrimRight(s, " ") + "\n")
	}
	return out.String()
}

func press(v *view, keys ...tea.KeyPressMsg) {
	for _, k := range keys {
		v.update(k)
	}
}

func letter(r rune) tea.KeyPressMsg { return tea.KeyPressMsg{Code: r, Text: string(r)} }

var (
	up    = tea.KeyPressMsg{Code: tea.KeyUp}
	enter = tea.KeyPressMsg{Code: tea.KeyEnter}
	space = tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}
)

// line is a call that has ended, the nth.
func line(n int, c liveapi.Call) liveapi.TapLine {
	c.Pod, c.Workload, c.Policy, c.Target = "shop/checkout-1", "Deployment/checkout", "shop/payments", "service shop/payments"
	c.Method, c.Host, c.Path, c.To = "GET", "payments.shop", fmt.Sprintf("/c/%d", n), netip.MustParseAddrPort("10.96.0.7:80")
	return liveapi.TapLine{At: time.Date(2026, 11, 27, 12, 0, n, 0, time.UTC), Node: "node-1", Call: &c}
}

func fine(n int) liveapi.TapLine {
	return line(n, liveapi.Call{Kind: "response", Status: 200, Decision: "not_needed", Attempts: 1, TookSeconds: 0.0042})
}

func recovered(n int) liveapi.TapLine {
	return line(n, liveapi.Call{
		Kind: "response", Status: 200, Decision: "recovered", Attempts: 14, HeadSeconds: 0.03, TookSeconds: 0.031, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736",
		Tried: []liveapi.Attempt{
			{Start: "first", Result: "connect_failure", Detail: "connection refused", Endpoint: netip.MustParseAddrPort("10.0.0.1:8080"), TookSeconds: 0.001},
			{Start: "retry", Result: "503", Endpoint: netip.MustParseAddrPort("10.0.0.2:8080"), TookSeconds: 0.012},
			{Start: "retry", Result: "200", Reused: true, Endpoint: netip.MustParseAddrPort("10.0.0.3:8080"), TookSeconds: 0.009},
		},
	})
}

func failed(n int) liveapi.TapLine {
	return line(n, liveapi.Call{Kind: "circuit_open", Status: 503, Decision: "not_retryable", Detail: "opened by the node", DryRun: &liveapi.DryRun{Policy: "shop/next", Would: "retry"}})
}

func aView(lines ...liveapi.TapLine) *view {
	v := newView("shop", title("shop", ""), 2)
	v.update(tea.WindowSizeMsg{Width: 80, Height: 24})
	for _, l := range lines {
		v.feed.add(l)
	}
	v.update(take{})
	return v
}

func TestViewsOfTap(t *testing.T) {
	for name, keys := range map[string][]tea.KeyPressMsg{
		"view":         nil,
		"view-attempt": {up, enter},
		"view-failure": {enter},
		"view-filter":  {letter('/'), letter('r'), letter('e'), letter('c'), enter},
	} {
		t.Run(name, func(t *testing.T) {
			v := aView(fine(1), recovered(2), failed(3))
			press(v, keys...)
			clitest.Golden(t, name, shown(v))
		})
	}
}

// The latest call is selected while calls come, until another one is; what comes while it is paused is shown afterwards.
func TestTheViewIsPaused(t *testing.T) {
	v := aView(fine(1), fine(2))
	press(v, space)
	v.feed.add(fine(3))
	v.update(take{})
	if text := shown(v); !strings.Contains(text, "paused, 1 more") || strings.Contains(text, "12:00:03.000") {
		t.Errorf("while it is paused it shows\n%s", text)
	}
	press(v, space)
	if text := shown(v); !strings.Contains(text, "> 12:00:03.000") || strings.Contains(text, "paused") {
		t.Errorf("afterwards it shows\n%s", text)
	}
	press(v, up)
	v.feed.add(fine(4))
	v.update(take{})
	if text := shown(v); !strings.Contains(text, "> 12:00:02.000") || !strings.Contains(text, "  12:00:04.000") {
		t.Errorf("with another one selected it shows\n%s", text)
	}
}

// The view keeps the latest calls, and says how many were not shown.
func TestTheViewIsBounded(t *testing.T) {
	v := aView()
	for n := range maxWaiting + 10 {
		v.feed.add(fine(n))
	}
	v.feed.add(liveapi.TapLine{Dropped: 5})
	v.update(take{})
	if len(v.lines) != maxKept || v.dropped != 15+maxWaiting-maxKept {
		t.Errorf("%d are kept, and %d were dropped", len(v.lines), v.dropped)
	}
	if text := shown(v); !strings.Contains(text, "> 13:08:15.000") || !strings.Contains(text, "raise --rate") {
		t.Errorf("it shows\n%s", text)
	}
	press(v, up, enter)
	for n := range maxKept {
		v.feed.add(fine(n))
	}
	v.update(take{})
	if text := shown(v); !strings.Contains(text, "The call is no longer kept.") {
		t.Errorf("of a call that is no longer kept it shows\n%s", text)
	}
}

// The view says of how many nodes calls are shown, and why others are not, as that is now.
func TestAgentsComeAndGo(t *testing.T) {
	v := aView(fine(1))
	v.feed.state(1, []error{errors.New("pod agent-2: it begins")})
	v.update(take{})
	if text := shown(v); !strings.Contains(text, "namespace shop, 1 node ") || !strings.Contains(text, "not read, and asked again: pod agent-2: it begins") {
		t.Errorf("it shows\n%s", text)
	}
	v.feed.state(2, nil)
	v.update(take{})
	if text := shown(v); !strings.Contains(text, "namespace shop, 2 nodes") || strings.Contains(text, "not read") {
		t.Errorf("it shows\n%s", text)
	}
}

func TestTheEndOfATap(t *testing.T) {
	v := aView(fine(1))
	v.feed.add(fine(2))
	if cmd := v.update(over{errors.New("the stream of pod a: broken\nthe stream of pod b: broken")}); cmd != nil {
		t.Error("it ends though there is something to look at")
	}
	if text := shown(v); !strings.Contains(text, "ended: the stream of pod a: broken; the stream of pod b") || !strings.Contains(text, "12:00:02.000") || !strings.Contains(text, "2 calls, ended") {
		t.Errorf("it shows\n%s", text)
	}
	if cmd := v.update(take{}); cmd != nil {
		t.Error("it waits for more")
	}
	if cmd := aView().update(over{errors.New("refused")}); cmd == nil {
		t.Error("it stays though there is nothing to look at")
	}
}

// On a terminal the command is a view, that leaves the terminal as it was.
func TestTapOnATerminal(t *testing.T) {
	terminal := screentest.New(t, 100, 24)
	_, _ = terminal.TTY.WriteString("$ kubectl fairlead tap\r\n")
	terminal.Await("$ kubectl")
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", agent("node-1", retried()))
	c.Env.In, c.Env.Terminal = terminal.TTY, terminal.TTY
	done := make(chan error, 1)
	go func() { done <- run1(t, c) }()
	terminal.AwaitView("payments.shop/a", "> ")
	terminal.Type("\r")
	terminal.Await("first     10.0.0.1:80  connect_failure in 1ms: connection refused", "retry     10.0.0.2:80")
	terminal.Type("q")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text := terminal.AwaitEnd("$ kubectl fairlead tap")
	if strings.Contains(text, "payments") {
		t.Errorf("left behind is\n%s", text)
	}
	if c.Out.Len() > 0 {
		t.Errorf("printed is %s", c.Out)
	}
}

// What agents refuse is an error, and no view is left behind.
func TestARefusalOnATerminal(t *testing.T) {
	terminal := screentest.New(t, 80, 24)
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", http.NotFoundHandler())
	c.Env.In, c.Env.Terminal = terminal.TTY, terminal.TTY
	if err := run1(t, c); err == nil || !strings.Contains(err.Error(), "it is of an earlier version") {
		t.Errorf("ended with %v", err)
	}
	if terminal.Raw() != "" {
		t.Errorf("drawn is %q", terminal.Raw())
	}
}
