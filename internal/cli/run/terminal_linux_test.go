package run

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/cli/screen/screentest"
)

// Live figures are drawn on a screen of their own while the command runs, and what was said meanwhile, and the summary, stand on the terminal afterwards.
func TestLiveFigures(t *testing.T) {
	u := serve(t, 503, 200, 200)
	terminal := screentest.New(t, 120, 24)
	_, _ = terminal.TTY.WriteString("$ fairlead run --top\r\n")
	p := policy(t, toService, retrying)
	c := fairlead(t, append([]string{"--top", "-f", p, u.service(), "--"}, self(t, "lines", "http://inventory.warehouse/")...)...)
	c.Stderr = terminal.TTY
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() // which ends the command
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(in, "call\n")
	if text := terminal.AwaitView("1 call in", "service warehouse/inventory"); strings.Contains(text, "$ fairlead run") {
		t.Errorf("shown is\n%s", text)
	}
	write(t, p, toService, "")
	terminal.Await("policies were read again")
	terminal.Resize(70, 10)
	_, _ = io.WriteString(in, "call\n")
	terminal.Await("2 calls in")
	_ = in.Close()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	text := terminal.AwaitEnd("2 calls in")
	for _, want := range []string{"$ fairlead run --top", "1 policy in force", "policies were read again", "service warehouse/inventory"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not stand on the terminal afterwards:\n%s", want, text)
		}
	}
	if raw := terminal.Raw(); strings.Count(raw, "\x1b[2J") > 4 {
		t.Errorf("the screen is cleared %d times: %q", strings.Count(raw, "\x1b[2J"), raw)
	}
}

// Ctrl-C reaches the command once, as without fairlead: from the terminal, also where its input comes from elsewhere.
func TestCtrlCReachesTheCommandOnce(t *testing.T) {
	terminal := screentest.New(t, 80, 24)
	c := fairlead(t, append([]string{"-q", "-f", policy(t, "{any: {}}", ""), "--"}, self(t, "signals")...)...)
	c.Stderr = terminal.TTY
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch said = append(said, lines.Text()); len(said) {
		case 1:
			terminal.Type("\x03")
		case 2:
			if err := c.Process.Signal(syscall.SIGUSR1); err != nil { // which comes behind what the first one has caused
				t.Error(err)
			}
		}
	}
	if err := c.Wait(); err != nil || !slices.Equal(said, []string{"ready", "interrupt", "user defined signal 1"}) {
		t.Errorf("%v; the command has %q", err, said)
	}
}

func TestTheLastLines(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a", "a\n": "a", "a\nb\n": "a\nb", "a\nb\nc\n": "b\nc", "a\n\nc": "\nc"} {
		if got := string(last([]byte(in), 2)); got != want {
			t.Errorf("of %q the last are %q, want %q", in, got, want)
		}
	}
}
