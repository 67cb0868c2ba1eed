package run

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The command's end is the run's.
func TestTheExitCodeIsPassedOn(t *testing.T) {
	p := policy(t, "{any: {}}", "")
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -KILL $$": 128 + 9} {
		if r := run(t, "-f", p, "--", "sh", "-c", script); r.code != want {
			t.Errorf("%s: %d, want %d\n%s", script, r.code, want, r.err)
		}
	}
	if r := run(t, "-f", p, "--", "/nowhere/at-all"); r.code != 127 || !strings.Contains(r.err, "/nowhere/at-all cannot be run: no such file or directory") {
		t.Errorf("ended with %d: %s", r.code, r.err)
	}
	if r := run(t, "-f", p, "--", p); r.code != 126 {
		t.Errorf("ended with %d: %s", r.code, r.err)
	}
}

// stderr collects what a run says while it goes on.
type stderr struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (s *stderr) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	select {
	case s.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

// await waits until something was said.
func (s *stderr) await(t *testing.T, what string) string {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		text := s.text.String()
		s.mu.Unlock()
		if strings.Contains(text, what) {
			return text
		}
		select {
		case <-s.more:
		case <-limit.C:
			t.Fatalf("%q is not said:\n%s", what, text)
		}
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	c := fairlead(t, "-f", policy(t, "{any: {}}", ""), "--", "sh", "-c", `trap 'echo got it; exit 5' TERM; echo ready; while :; do read -r line || exit 9; done`)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatal(lines.Text(), lines.Err())
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(in, "\n") // a shell deals with signals between two commands
	if !lines.Scan() || lines.Text() != "got it" {
		t.Error(lines.Text(), lines.Err())
	}
	if err := c.Wait(); c.ProcessState.ExitCode() != 5 {
		t.Error(err)
	}
}

// What nohup has had ignored is ignored by the command, as without fairlead.
func TestWhatIsIgnoredStaysSo(t *testing.T) {
	c := fairlead(t, "-q", "-f", policy(t, "{any: {}}", ""), "--", "sh", "-c", "kill -HUP $$; echo on")
	c.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh", c.Path}, c.Args[1:]...)
	c.Path = "/bin/sh"
	if r := end(t, c); r.code != 0 || r.out != "on\n" {
		t.Errorf("ended with %d: %s%s", r.code, r.out, r.err)
	}
}

// A pipe, as <(command) is, has its policies once: it is not read again, which would wait for somebody to write, and nothing else be done meanwhile.
func TestPoliciesOfAPipe(t *testing.T) {
	text, err := os.ReadFile(policy(t, "{any: {}}", ""))
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	defer func() {
		reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // lets the writer open it where fairlead has ended first
		if err != nil {
			t.Error(err)
			return
		}
		writing.Wait()
		_ = reader.Close()
	}()
	writing.Go(func() {
		if err := os.WriteFile(pipe, text, 0o600); err != nil {
			t.Error(err)
		}
	})
	if r := run(t, "-f", pipe, "--", "sleep", "1"); r.code != 0 || strings.Contains(r.err, "policies of before") {
		t.Errorf("ended with %d: %s", r.code, r.err)
	}
}

// Policies that are edited come into force while the command runs, and those that cannot be used leave the former ones there.
func TestEditsComeIntoForce(t *testing.T) {
	u := serve(t, 503, 503, 200, 503, 200)
	p := policy(t, toService, "  retry: {maxRetries: 0}")
	said := &stderr{more: make(chan struct{}, 1)}
	c := fairlead(t, append([]string{"-f", p, u.service(), "--listen-metrics=127.0.0.1:0", "--"}, self(t, "lines", "http://inventory.warehouse/")...)...)
	c.Stderr = said
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	call := func() string {
		_, _ = io.WriteString(in, "call\n")
		lines.Scan()
		return lines.Text()
	}
	if got := call(); got != "503" {
		t.Errorf("without retries it answers %s", got)
	}
	write(t, p, toService, retrying)
	said.await(t, "policies were read again: 1 policy in force")
	if got := call(); got != "200" {
		t.Errorf("with retries it answers %s", got)
	}
	if err := os.WriteFile(p, []byte("kind: RetryPolicy\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := said.await(t, "the policies of before stay in force")
	if !strings.Contains(text, "write policy.fairlead.dev/v1alpha1") {
		t.Errorf("it says\n%s", text)
	}
	if got := call(); got != "200" {
		t.Errorf("with the policies of before it answers %s", got)
	}
	checkMetrics(t, text)
	_ = in.Close()
	if err := c.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said.await(t, ""))
	}
	if text := said.await(t, "3 calls in"); u.saw() != strings.TrimSuffix(strings.Repeat("GET inventory.warehouse/, ", 5), ", ") {
		t.Errorf("the server has seen %s\n%s", u.saw(), text)
	}
}

// checkMetrics reads the metrics where the run says that they are.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	_, rest, _ := strings.Cut(text, "metrics are at ")
	url, _, _ := strings.Cut(rest, "\n")
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	want := fmt.Sprintf("fairlead_proxy_tries_total{attempt=%q,code=%q,kind=%q,policy=%q,target=%q} 2", "retry", "2xx", "ok", "default/p", "service warehouse/inventory")
	if err != nil || !strings.Contains(string(body), want) {
		t.Errorf("%v; the metrics are\n%s", err, body)
	}
}
