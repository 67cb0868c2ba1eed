package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// needed are the programs that play clients and servers; hack/deps.sh installs them.
var needed = []string{"nft", "ip", "nsenter", "unshare", "conntrack", "curl", "python3", "node", "java", "javac", "busybox", "nc", "socat", "nginx",
	"haproxy", "redis-server", "redis-cli", "psql", "setpriv"}

// findPrograms looks for programs also where administrators' are.
var findPrograms = sync.OnceValue(func() map[string]string {
	found := map[string]string{}
	for _, name := range needed {
		for _, path := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
			if p, err := exec.LookPath(path); err == nil {
				found[name] = p
				break
			}
		}
	}
	if p, ok := found["python3"]; ok { // what is in PATH may be a script that chooses among several, each time
		if out, err := exec.Command(p, "-c", "import requests, sys; print(sys.executable)").Output(); err == nil {
			found["python3"] = strings.TrimSpace(string(out))
		} else {
			delete(found, "python3")
		}
	}
	if servers, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(servers) == 0 {
		delete(found, "psql") // its server comes with it
	}
	return found
})

func missingPrograms() []string {
	var missing []string
	for _, name := range needed {
		if findPrograms()[name] == "" {
			missing = append(missing, name)
		}
	}
	return missing
}

// program is a program that runs in one of the namespaces.
type program struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *output
	done chan struct{}
	exit string
}

// output collects what a program writes and tells when something has been written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a program in a namespace, with the world's /etc/hosts, until it ends or the run does.
func (r *run) start(n *netnstest.Net, args ...string) *program {
	r.Helper()
	if p := findPrograms()[args[0]]; p != "" {
		args[0] = p
	}
	const prepare = `mount --bind "$0" /etc/hosts && exec "$@"`
	ctx, cancel := context.WithTimeout(r.ctx, 30*time.Second)
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path, "unshare", "-m", "sh", "-c", prepare, r.world.hosts}, args...)...)
	cmd.Dir = r.world.scratch
	cmd.Env = append(os.Environ(), "LC_ALL=C", "NO_PROXY=*")
	// Programs may have children, which must not outlive them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	p := &program{cmd: cmd, out: &output{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	var err error
	p.in, err = cmd.StdinPipe()
	check(r, err)
	check(r, cmd.Start())
	r.programs.Go(func() {
		defer cancel()
		defer close(p.done)
		p.exit = exitOf(cmd.Wait())
	})
	where := 0
	if n != r.world.pod {
		where = 1
	}
	r.mu.Lock()
	r.killers[where] = append(r.killers[where], p.kill)
	r.mu.Unlock()
	return p
}

func exitOf(err error) string {
	var e *exec.ExitError
	switch {
	case err == nil:
		return "0"
	case errors.As(err, &e) && e.Exited():
		return fmt.Sprint(e.ExitCode())
	case errors.As(err, &e):
		return e.Sys().(syscall.WaitStatus).Signal().String()
	}
	return err.Error()
}

// wait waits for the program's end.
func (p *program) wait() string {
	_ = p.in.Close()
	<-p.done
	return p.out.String()
}

// kill ends it.
func (p *program) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// took is how long something took, as programs say it.
var took = regexp.MustCompile(`after \d+ ms|in \d+(\.\d+)? ?m?s|\d+ milliseconds`)

// pod runs a client program in the pod to its end and notes its output and exit code.
func (r *run) pod(args ...string) { r.podWith("", args...) }

// podWith does so with something to read from its standard input, which then ends.
func (r *run) podWith(input string, args ...string) {
	r.Helper()
	p := r.start(r.world.pod, args...)
	_, _ = io.WriteString(p.in, input)
	out := p.wait()
	r.noteProgram(out, p.exit)
}

func (r *run) noteProgram(out, exit string) {
	out = took.ReplaceAllString(out, "after a while")
	for _, line := range strings.Split(strings.TrimRight(out, "\n"), "\n") {
		name, _, _ := strings.Cut(line, ":")
		if line = strings.TrimRight(line, "\r"); line == "" || isHop(name) || strings.EqualFold(name, "Date") {
			continue
		}
		if len(line) > 600 {
			line = show([]byte(line))
		}
		r.seen.note("program", "prints %s", line)
	}
	r.seen.note("program", "exits with %s", exit)
}

func isHop(name string) bool {
	for _, h := range hop {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// server runs a server program at server i until the run ends, and waits until it accepts connections.
func (r *run) server(i int, args ...string) {
	r.Helper()
	p := r.start(r.world.servers[i], args...)
	deadline := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		c, err := r.world.node.Dial(ctx, r.at(i), 0)
		cancel()
		if err == nil {
			_ = c.Close()
			break
		}
		select {
		case <-p.done:
			r.Fatalf("the server has ended: %s\n%s", p.exit, p.out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			r.Fatalf("the server does not listen: %v\n%s", err, p.out)
		}
	}
}

// file writes a file for a program and returns its path.
func (r *run) file(name, content string) string {
	r.Helper()
	path := filepath.Join(r.world.scratch, name)
	check(r, os.MkdirAll(filepath.Dir(path), 0o755))
	check(r, os.WriteFile(path, []byte(content), 0o644))
	return path
}

// listening reports whether something listens on a port of a namespace.
func (r *run) listening(n *netnstest.Net, port int) bool {
	out, err := exec.CommandContext(r.ctx, "nsenter", "--net="+n.Path, "ss", "-Hltn", fmt.Sprintf("sport = :%d", port)).Output()
	return err == nil && len(out) > 0
}

// cutLast cuts s at the last colon.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
