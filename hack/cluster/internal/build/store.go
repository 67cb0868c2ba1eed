package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/hack/cluster/internal/paths"
)

// module is a Go module that pins versions and has, at most, main packages of a file or two.
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

// recipe is what, beside versions, decides how programs are built.
type recipe struct{ tags, ldflags string }

// store is the cache of one version of some programs.
type store struct {
	name   string // of all together, for people
	dir    string
	module module
	recipe recipe
	hash   string // of all that decides what is built
}

func (m module) store(name, version string, r recipe) (*store, error) {
	cache, err := paths.Cache()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(m.dir, "*", "*.go")) // which sorts
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, file := range append(files, filepath.Join(m.dir, "go.mod")) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		sum.Write(text)
	}
	io.WriteString(sum, r.ldflags+r.tags)
	return &store{
		name: name, dir: filepath.Join(cache, name, version+"-"+runtime.GOOS+"-"+runtime.GOARCH),
		module: m, recipe: r, hash: hex.EncodeToString(sum.Sum(nil)),
	}, nil
}

func (s *store) bin() string                { return filepath.Join(s.dir, "bin") }
func (s *store) stamp(name string) string   { return filepath.Join(s.dir, "recipes", name) }
func (s *store) program(name string) string { return filepath.Join(s.bin(), name) }

// ensure builds, all at once, the programs that the store lacks or has by another recipe. Each is called as the last element of its package's
// path.
func (s *store) ensure(ctx context.Context, packages []string, progress Progress) error {
	if len(s.lacking(packages)) == 0 {
		return nil
	}
	for _, dir := range []string{s.bin(), filepath.Join(s.dir, "recipes")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	unlock, err := s.lock(progress)
	if err != nil {
		return err
	}
	defer unlock()
	lacking := s.lacking(packages) // somebody else may have built them while we waited
	if len(lacking) == 0 {
		return nil
	}
	return s.build(ctx, lacking, progress)
}

// lacking are the packages of the programs to build.
func (s *store) lacking(packages []string) []string {
	return slices.DeleteFunc(slices.Clone(packages), func(pkg string) bool { return s.current(path.Base(pkg)) })
}

func (s *store) current(name string) bool {
	if _, err := os.Stat(s.program(name)); err != nil {
		return false
	}
	hash, err := os.ReadFile(s.stamp(name))
	return err == nil && string(hash) == s.hash
}

// build compiles into a folder aside and renames, so that a program in the store is complete. Its stamp comes last: without it, a program is
// built again.
func (s *store) build(ctx context.Context, packages []string, progress Progress) error {
	aside, err := os.MkdirTemp(s.dir, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	c := compilation{
		what: s.name, dir: s.module.dir, out: aside + "/", packages: packages,
		flags: []string{"-mod=readonly", "-tags=" + s.recipe.tags, "-ldflags=" + s.recipe.ldflags},
	}
	if err := c.run(ctx, progress); err != nil {
		return err
	}
	for _, pkg := range packages {
		name := path.Base(pkg)
		if err := os.Rename(filepath.Join(aside, name), s.program(name)); err != nil {
			return err
		}
		if err := os.WriteFile(s.stamp(name), []byte(s.hash), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// call gives a program of the store further names, by links that are made aside and renamed, so that a name always leads to a program.
func (s *store) call(program string, names []string) error {
	for _, name := range names {
		if to, err := os.Readlink(s.program(name)); err == nil && to == program {
			continue
		}
		aside, err := os.MkdirTemp(s.dir, "new-")
		if err != nil {
			return err
		}
		link := filepath.Join(aside, name)
		if err := errors.Join(os.Symlink(program, link), os.Rename(link, s.program(name)), os.RemoveAll(aside)); err != nil {
			return err
		}
	}
	return nil
}

// lock keeps others from building into the same store. The kernel releases it if we die.
func (s *store) lock(progress Progress) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "recipes", "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		progress("waiting for another build of %s", s.name)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
