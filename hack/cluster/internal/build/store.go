package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/hack/cluster/internal/paths"
)

// Progress gets what is being done, in a line without line feed.
type Progress func(format string, args ...any)

// module is a Go module that only pins versions.
type module struct{ dir string }

// version asks which version of a dependency the module uses.
func (m module) version(ctx context.Context, dependency string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-mod=mod", "-m", "-f", "{{.Version}}", dependency)
	cmd.Dir = m.dir
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("find version of %s: %s", dependency, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// store is the cache of one version of some programs.
type store struct {
	dir     string
	module  module
	ldflags string
	recipe  string // hash of all that decides what is built
}

func (m module) store(name, version, ldflags string) (*store, error) {
	cache, err := paths.Cache()
	if err != nil {
		return nil, err
	}
	pins, err := os.ReadFile(filepath.Join(m.dir, "go.mod"))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append(pins, ldflags...))
	return &store{
		dir:     filepath.Join(cache, name, version+"-"+runtime.GOOS+"-"+runtime.GOARCH),
		module:  m,
		ldflags: ldflags,
		recipe:  hex.EncodeToString(sum[:]),
	}, nil
}

func (s *store) bin() string                { return filepath.Join(s.dir, "bin") }
func (s *store) stamp(name string) string   { return filepath.Join(s.dir, "recipes", name) }
func (s *store) program(name string) string { return filepath.Join(s.bin(), name) }

// ensure builds a program unless the store has it, built after the same recipe.
func (s *store) ensure(ctx context.Context, name, pkg string, progress Progress) error {
	if s.current(name) {
		return nil
	}
	for _, dir := range []string{s.bin(), filepath.Dir(s.stamp(name))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	unlock, err := s.lock(name, progress)
	if err != nil {
		return err
	}
	defer unlock()
	if s.current(name) { // somebody else built it while we waited
		return nil
	}
	progress("building %s (once per version; the first may take some minutes)", name)
	return s.build(ctx, name, pkg)
}

func (s *store) current(name string) bool {
	if _, err := os.Stat(s.program(name)); err != nil {
		return false
	}
	recipe, err := os.ReadFile(s.stamp(name))
	return err == nil && string(recipe) == s.recipe
}

// build compiles to a temporary name and renames, so that a program in the store is complete. The
// stamp comes last: without it, a program is built again.
func (s *store) build(ctx context.Context, name, pkg string) error {
	temp := filepath.Join(s.bin(), "."+name+".new")
	defer os.Remove(temp)
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", s.ldflags, "-o", temp, pkg)
	cmd.Dir = s.module.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	if err := os.Rename(temp, s.program(name)); err != nil {
		return err
	}
	return os.WriteFile(s.stamp(name), []byte(s.recipe), 0o644)
}

// lock keeps others from building the same program. The kernel releases it if we die.
func (s *store) lock(name string, progress Progress) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "recipes", name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		progress("waiting for another build of %s", name)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// Package compiles the main package in dir, statically, to the file out, with the race detector if
// race is set; that needs a C compiler. Go leaves an out that is up to date alone.
func Package(ctx context.Context, dir, out string, race bool) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no package at %s", dir)
	}
	args, cgo := []string{"-ldflags", "-s -w"}, "CGO_ENABLED=0"
	if race {
		// Names are looked up in Go, as without cgo: the C library's way does not work in a static program.
		args = []string{"-race", "-tags", "netgo,osusergo", "-ldflags", "-s -w -linkmode external -extldflags -static"}
		cgo = "CGO_ENABLED=1"
	}
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-trimpath", "-buildvcs=false"}, args...), "-o", out, ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), cgo)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", dir, err, output)
	}
	return nil
}
