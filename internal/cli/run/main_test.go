package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// as says what the test's binary is when it is started again: fairlead run, or a client of its own.
const as = "FAIRLEAD_TEST_AS"

// patience is how long what must happen may take on a busy machine.
const patience = time.Minute

func TestMain(m *testing.M) {
	switch role := os.Getenv(as); role {
	case "":
		goleak.VerifyTestMain(m)
	case "run":
		os.Exit(asRun())
	default:
		if err := clients[role](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func asRun() int {
	_ = os.Unsetenv(as) // it is not for the command
	c := New(nil)
	c.SetArgs(os.Args[1:])
	err := c.ExecuteContext(context.Background())
	if e, ok := errors.AsType[*ExitError](err); ok {
		return e.Code
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fairlead:", err)
		return 1
	}
	return 0
}

// ran is what a run has come to.
type ran struct {
	code     int
	out, err string
}

// fairlead prepares a run, without capture.
func fairlead(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, self, append([]string{"--capture=Never"}, args...)...)
	c.Env = append(os.Environ(), as+"=run")
	return c
}

// run runs fairlead to its end.
func run(t *testing.T, args ...string) ran {
	t.Helper()
	return end(t, fairlead(t, args...))
}

func end(t *testing.T, c *exec.Cmd) ran {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return ran{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// mustRun fails the test unless the command has ended well.
func mustRun(t *testing.T, args ...string) ran {
	t.Helper()
	r := run(t, args...)
	if r.code != 0 {
		t.Fatalf("ended with %d:\n%s%s", r.code, r.out, r.err)
	}
	return r
}

// self is the command line of a client of this binary's.
func self(t *testing.T, client string, args ...string) []string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"env", as + "=" + client, path}, args...)
}

// policy writes a file with a policy for a destination, with more in its spec.
func policy(t *testing.T, to, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, path, to, more)
	return path
}

func write(t *testing.T, path, to, more string) {
	t.Helper()
	text := fmt.Sprintf("apiVersion: policy.fairlead.dev/v1alpha1\nkind: RetryPolicy\nmetadata: {name: p}\nspec:\n  to: [%s]\n%s\n", to, more)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// retrying is for servers that fail often.
const retrying = `  retry:
    maxRetries: 5
    when: [ConnectFailure, ResetBeforeRequest, Reset, GatewayError]
    backoff: {initialInterval: 1ms, maxInterval: 1ms}
    budget: {percent: 100, minRetriesPerSecond: 1000}`

const toService = "{service: {name: inventory, namespace: warehouse}}"

// upstream counts the requests that it gets, and answers them in turn with its codes, the last ever after.
type upstream struct {
	*httptest.Server
	mu    sync.Mutex
	codes []int
	seen  []string // guarded by mu
}

func serve(t *testing.T, codes ...int) *upstream {
	t.Helper()
	u := &upstream{codes: codes}
	u.Server = httptest.NewUnstartedServer(u)
	u.Config.Protocols = &http.Protocols{}
	u.Config.Protocols.SetHTTP1(true)
	u.Config.Protocols.SetUnencryptedHTTP2(true)
	u.Start()
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.seen = append(u.seen, r.Method+" "+r.Host+r.URL.String())
	code := u.codes[min(len(u.seen), len(u.codes))-1]
	u.mu.Unlock()
	rw.WriteHeader(code)
	_, _ = fmt.Fprintf(rw, "answered %d\n", code)
}

// saw is what it was asked for so far.
func (u *upstream) saw() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Join(u.seen, ", ")
}

func (u *upstream) at() string { return u.Listener.Addr().(*net.TCPAddr).String() }

// service has the upstream be the Service of toService.
func (u *upstream) service() string { return "--service=inventory.warehouse:80=" + u.at() }
