package run

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// privileged skips the test, loudly, unless it may make namespaces.
func privileged(t *testing.T) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv("REQUIRE_PRIVILEGED") == "1":
		t.Fatal("needs root to make network namespaces, and REQUIRE_PRIVILEGED=1")
	default:
		t.Skip("SKIPPED: needs root to make network namespaces")
	}
}

// A command that knows of no proxy has its calls governed all the same: it finds Services by the DNS, and its connections are captured.
func TestCallsAreCaptured(t *testing.T) {
	privileged(t)
	u := serve(t, 503, 200)
	r := mustRun(t, "--capture=Always", "-f", policy(t, toService, retrying), u.service(), "--", "curl", "-sS", "--noproxy", "*", "http://inventory.warehouse/x")
	if r.out != "answered 200\n" || u.saw() != "GET inventory.warehouse/x, GET inventory.warehouse/x" {
		t.Errorf("the client has %q, and the server has seen %s\n%s", r.out, u.saw(), r.err)
	}
	if !strings.Contains(r.err, "1 call in") || strings.Contains(r.err, "calls through http://") {
		t.Errorf("it says\n%s", r.err)
	}
}

// Its localhost is its own, and a mapped port leads to this machine's.
func TestMappedPortsOfACapturedCommand(t *testing.T) {
	privileged(t)
	u := serve(t, 503, 200)
	r := run(t, "--capture=Always", "-f", policy(t, "{cidr: {block: 127.0.0.1/32}}", retrying), "--map", "8080="+u.at(), "--", "sh", "-c",
		"curl -sS http://127.0.0.1:8080/x; curl -s -o /dev/null "+u.URL+"; echo $?")
	if r.out != "answered 200\n7\n" || u.saw() != "GET "+u.at()+"/x, GET "+u.at()+"/x" {
		t.Errorf("the client has %q, and the server has seen %s\n%s", r.out, u.saw(), r.err)
	}
}

// Without a way to capture, Always is refused rather than done by halves.
func TestCaptureIsRefusedToOthersThanRoot(t *testing.T) {
	c := fairlead(t, "--capture=Always", "-f", policy(t, "{any: {}}", ""), "--", "true")
	if os.Geteuid() == 0 {
		asNobody(t, c)
	}
	if r := end(t, c); r.code != 1 || !strings.Contains(r.err, "it needs root") {
		t.Errorf("ended with %d: %s", r.code, r.err)
	}
}

// asNobody has a command run as a user without rights: a copy of its program, where everybody may go, which reads its policy as it is.
func asNobody(t *testing.T, c *exec.Cmd) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := func(i int, path string) string {
		to := filepath.Join(dir, strconv.Itoa(i))
		content, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(to, content, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	c.Path = at(0, c.Path)
	for i, arg := range c.Args {
		if i > 0 && c.Args[i-1] == "-f" {
			c.Args[i] = at(i, arg)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c.Dir = dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}
