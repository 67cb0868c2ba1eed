package build

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Progress gets what is being done, in a line without line feed.
type Progress func(format string, args ...any)

// reportEvery is how often a compilation says how far it is.
const reportEvery = 15 * time.Second

// compiling is held while something is compiled: what two need alike is then compiled once. Modules are downloaded meanwhile, and what has only to be
// linked leaves a processor to the next.
var compiling sync.Mutex

// common are the flags of all that is built here, the same for all, so that what several are made of is compiled once; with a profile, all packages of
// a program would be compiled for it alone. What debuggers read is linked into none of them; to leave it out takes a fifteenth less time.
var common = []string{"-trimpath", "-buildvcs=false", "-pgo=off", "-gcflags=all=-dwarf=false"}

// collect has the compiler, whose processes end soon, collect garbage less often than is usual; it takes a twentieth less time.
const collect = "GOGC=400"

// compilation is one run of go build.
type compilation struct {
	what     string // what it makes, for people
	dir      string // the module's
	packages []string
	flags    []string
	out      string
	cgo      bool
}

// run compiles, and says meanwhile how far it is.
func (c compilation) run(ctx context.Context, progress Progress) error {
	waits := time.AfterFunc(reportEvery/3, func() { progress("%s: modules are downloaded", c.what) })
	_, err := c.stale(ctx)
	waits.Stop()
	if err != nil {
		return err
	}
	compiling.Lock()
	next := sync.OnceFunc(compiling.Unlock)
	defer next()
	list, err := c.stale(ctx) // once more: what was compiled while we waited is not counted
	if err != nil {
		return err
	}
	cmd := c.command(ctx, "build", "-v", "-o", c.out)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	text := follow(pipe, newCounter(c.what, list, time.Now, progress, next))
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", c.what, err, text)
	}
	return nil
}

// stale are the names of the packages that have to be compiled.
func (c compilation) stale(ctx context.Context) ([]byte, error) {
	list, err := c.command(ctx, "list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("build %s: %w\n%s", c.what, err, exit.Stderr)
	}
	return list, err
}

func (c compilation) command(ctx context.Context, verb string, args ...string) *exec.Cmd {
	args = slices.Concat([]string{verb}, args, common, c.flags, c.packages)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = c.dir
	cgo := "CGO_ENABLED=0"
	if c.cgo {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(os.Environ(), cgo, collect)
	return cmd
}

// follow hands the lines of go build to the counter and returns those that are not names of packages.
func follow(r io.Reader, c *counter) string {
	done := make(chan struct{})
	var reporting sync.WaitGroup
	reporting.Go(func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.report()
			case <-done:
				return
			}
		}
	})
	var text bytes.Buffer
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if !c.started(lines.Text()) {
			fmt.Fprintln(&text, lines.Text())
		}
	}
	_, _ = io.Copy(&text, r) // what follows a line that is too long
	close(done)
	reporting.Wait()
	return text.String()
}

// counter knows how many of the packages that have to be compiled go build has begun with.
type counter struct {
	// immutable
	what     string
	total    int
	now      func() time.Time
	begin    time.Time
	progress Progress
	all      func() // is called when go build has begun with all packages

	mu      sync.Mutex
	pending map[string]bool
}

func newCounter(what string, list []byte, now func() time.Time, progress Progress, all func()) *counter {
	c := &counter{what: what, now: now, begin: now(), progress: progress, all: all, pending: map[string]bool{}}
	for name := range strings.FieldsSeq(string(list)) {
		c.pending[name] = true
	}
	c.total = len(c.pending)
	return c
}

// started reports whether a line of go build says that it has begun with a package.
func (c *counter) started(line string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pending[line] {
		return false
	}
	delete(c.pending, line)
	if len(c.pending) == 0 {
		c.all()
	}
	return true
}

// report says how far it is and, once that can be judged, how long the rest takes if it goes on as it has.
func (c *counter) report() {
	c.mu.Lock()
	left := len(c.pending)
	c.mu.Unlock()
	done, elapsed := c.total-left, c.now().Sub(c.begin)
	switch {
	case left == 0:
		c.progress("%s: linking", c.what)
	case done*20 < c.total:
		c.progress("%s: %d of %d packages", c.what, done, c.total)
	default:
		rest := elapsed * time.Duration(left) / time.Duration(done)
		c.progress("%s: %d of %d packages, about %s left", c.what, done, c.total, rest.Round(5*time.Second))
	}
}

// Packages compiles the main packages in some folders of one module at once, statically, into the folder out, each by the name of its own folder; with
// the race detector if race is set, which needs a C compiler. Go leaves a program that is up to date alone.
func Packages(ctx context.Context, dirs []string, out string, race bool, progress Progress) error {
	if len(dirs) == 0 {
		return nil
	}
	var names []string
	for _, dir := range dirs {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no package at %s", dir)
		}
		names = append(names, filepath.Base(dir))
	}
	c := compilation{what: strings.Join(names, ", "), dir: dirs[0], out: out + "/", cgo: race, packages: dirs, flags: []string{"-ldflags=-s -w"}}
	if race {
		// Names are looked up in Go, as without cgo: the C library's way does not work in a static program.
		c.flags = []string{"-race", "-tags=netgo,osusergo", "-ldflags=-s -w -linkmode external -extldflags -static"}
	}
	return c.run(ctx, progress)
}
