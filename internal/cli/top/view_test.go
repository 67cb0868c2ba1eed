package top

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"fairlead.dev/fairlead/internal/cli/clitest"
	"fairlead.dev/fairlead/internal/cli/screen/screentest"
	"fairlead.dev/fairlead/internal/liveapi"
)

// shown is what a view shows, without colours and with the time of day replaced.
func shown(v *view) string {
	var out strings.Builder
	for _, s := range strings.Split(ansi.Strip(v.View().Content), "\n") {
		out.WriteString(strings.TrimRight(s, " ") + "\n")
	}
	return strings.ReplaceAll(out.String(), v.got.To.Local().Format(time.TimeOnly), "12:00:00")
}

func aView(t *testing.T, width, height int, all bool) *view {
	t.Helper()
	to := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	namespace := "shop"
	if all {
		namespace = ""
	}
	v := newView(&flags{all: all, since: time.Minute, every: time.Second, sorted: "rps"}, namespace, flowsAt(to), nil)
	v.Update(tea.WindowSizeMsg{Width: width, Height: height})
	return v
}

func press(v *view, keys ...tea.KeyPressMsg) {
	for _, k := range keys {
		v.Update(k)
	}
}

func letter(r rune) tea.KeyPressMsg { return tea.KeyPressMsg{Code: r, Text: string(r)} }

var (
	enter = tea.KeyPressMsg{Code: tea.KeyEnter}
	space = tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}
)

func TestViewsOfTop(t *testing.T) {
	for name, tc := range map[string]struct {
		width int
		all   bool
		keys  []tea.KeyPressMsg
	}{
		"view":        {80, false, nil},
		"view-all":    {110, true, []tea.KeyPressMsg{letter('j')}},
		"view-sorted": {80, false, []tea.KeyPressMsg{letter('s')}},
		"view-filter": {80, false, []tea.KeyPressMsg{letter('/'), letter('o'), letter('p'), letter('e'), letter('n'), enter}},
		"view-detail": {80, false, []tea.KeyPressMsg{letter('j'), enter}},
	} {
		t.Run(name, func(t *testing.T) {
			v := aView(t, tc.width, 24, tc.all)
			press(v, tc.keys...)
			clitest.Golden(t, name, shown(v))
		})
	}
}

func workloads(v *view) string {
	var all []string
	for i := range v.got.Flows {
		all = append(all, v.got.Flows[i].Workload)
	}
	return strings.Join(all, " ")
}

func TestTheViewIsSorted(t *testing.T) {
	v := aView(t, 80, 24, false)
	for _, step := range []struct{ key, by, want string }{
		{"s", "by success,", "cart checkout web"}, {"r", "by success reversed,", "web checkout cart"}, {"s", "by retries reversed,", "web cart checkout"},
		{"r", "by retries,", "checkout cart web"}, {"S", "by success,", "cart checkout web"}, {"S", "by rps,", "checkout cart web"}, {"S", "by destination,", "cart web checkout"},
	} {
		press(v, letter(rune(step.key[0])))
		if got := workloads(v); got != step.want || !strings.Contains(shown(v), step.by) {
			t.Errorf("after %s it is %s\n%s", step.key, got, shown(v))
		}
	}
}

// What the manager answers is shown, unless the view is paused; what it does not answer is said, and asked for again.
func TestTheViewIsKeptUpToDate(t *testing.T) {
	v := aView(t, 80, 24, false)
	asked := 0
	v.ask = func() (*liveapi.Inventory, error) {
		asked++
		got := flowsAt(v.got.To.Add(time.Second))
		got.Flows = got.Flows[:1]
		return got, nil
	}
	_, cmd := v.Update(again{})
	v.Update(cmd())
	if asked != 1 || workloads(v) != "checkout" {
		t.Errorf("asked %d times, shown is %s", asked, workloads(v))
	}
	v.Update(answered{err: errors.New("the manager has gone")})
	if text := shown(v); !strings.Contains(text, "not of now: the manager has gone") || !strings.Contains(text, "checkout") {
		t.Errorf("shown is\n%s", text)
	}
	press(v, space)
	v.Update(answered{got: flowsAt(v.got.To)})
	if text := shown(v); workloads(v) != "checkout" || !strings.Contains(text, "paused") || strings.Contains(text, "not of now") {
		t.Errorf("while it is paused there is\n%s", text)
	}
	press(v, space)
	v.Update(answered{got: flowsAt(v.got.To)})
	if workloads(v) != "checkout cart web" {
		t.Errorf("afterwards there is %s", workloads(v))
	}
}

func TestOpenBreakersAreRed(t *testing.T) {
	if text := aView(t, 80, 24, false).View().Content; !strings.Contains(text, "\x1b[31mopen\x1b[m") || !strings.Contains(text, "\x1b[31m50.0%\x1b[m") {
		t.Errorf("shown is %q", text)
	}
}

// On a terminal the command is a view, that leaves the terminal as it was.
func TestTopOnATerminal(t *testing.T) {
	for name, tc := range map[string]struct {
		args    []string
		noColor string
		red     bool
	}{
		"colours":      {nil, "", true},
		"no colours":   {nil, "1", false},
		"another head": {[]string{"--since", "10m"}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			terminal := screentest.New(t, 100, 24)
			t.Setenv("NO_COLOR", tc.noColor)
			_, _ = terminal.TTY.WriteString("$ kubectl fairlead top\r\n")
			terminal.Await("$ kubectl")
			c := cluster(t)
			c.Env.In, c.Env.Terminal = terminal.TTY, terminal.TTY
			done := make(chan error, 1)
			go func() { done <- run(t, c, tc.args...) }()
			terminal.AwaitView("warehouse/inventory:80", "> checkout", "q quit")
			terminal.Type("/cart\r")
			terminal.Await(`1 of 3 with "cart"`)
			terminal.Resize(60, 12)
			terminal.Await("> cart")
			terminal.Type("\r")
			terminal.Await("Half in:")
			terminal.Type("q")
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			text := terminal.AwaitEnd("$ kubectl fairlead top")
			if raw := terminal.Raw(); strings.Contains(raw, "\x1b[31m") != tc.red {
				t.Errorf("NO_COLOR=%s: drawn by %q", tc.noColor, raw)
			}
			if strings.Contains(text, "checkout") {
				t.Errorf("left behind is\n%s", text)
			}
		})
	}
}

func TestPlainTopOnATerminal(t *testing.T) {
	terminal := screentest.New(t, 80, 24)
	c := cluster(t)
	c.Env.In, c.Env.Terminal = terminal.TTY, terminal.TTY
	if err := run(t, c, "--plain"); err != nil || !strings.Contains(c.Out.String(), "checkout") || terminal.Raw() != "" {
		t.Errorf("%v: printed %s, drawn %q", err, c.Out, terminal.Raw())
	}
}
