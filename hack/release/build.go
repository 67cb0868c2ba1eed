package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
)

// program is one that was built for a platform.
type program struct {
	name, os, arch, path string
}

// platforms returns where a program runs: those in the cluster on Linux, and what people run themselves on macOS, too. fairlead run needs a Unix.
func platforms(name string) [][2]string {
	cluster := [][2]string{{"linux", "amd64"}, {"linux", "arm64"}}
	if users[name] != "" {
		return cluster
	}
	return append(cluster, [][2]string{{"darwin", "amd64"}, {"darwin", "arm64"}}...)
}

// buildPrograms builds each program below cmd for all its platforms.
func (r *release) buildPrograms() ([]program, error) {
	dirs, err := os.ReadDir(filepath.Join(r.tree, "cmd"))
	if err != nil {
		return nil, err
	}
	var all []program
	for _, dir := range dirs {
		for _, platform := range platforms(dir.Name()) {
			p := program{name: dir.Name(), os: platform[0], arch: platform[1]}
			file := fmt.Sprintf("%s-%s-%s", p.name, p.os, p.arch)
			if p.path, err = filepath.Abs(filepath.Join(r.out, "bin", file)); err != nil {
				return nil, err
			}
			log.Printf("building %s", file)
			if err := r.build(p); err != nil {
				return nil, err
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// buildTags leave gRPC's tracing out, which nothing switches on: its pages are templates, and since these call methods by names that are known only when they run, the linker
// would keep all methods of all types.
const buildTags = "grpcnotrace"

// build compiles one program. The linker writes the commit that it was built from into it, and no path of this machine. Where the commit is not known, it fails; GOFLAGS
// is not empty, since flags of the machine's own would stand in then (go env -w).
func (r *release) build(p program) error {
	cmd := exec.Command("go", "build", "-mod=readonly", "-trimpath", "-tags", buildTags, "-ldflags", "-s -w", "-o", p.path, "./cmd/"+p.name)
	cmd.Dir = r.tree
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOFLAGS=-buildvcs=true", "GOAMD64=v1", "GOARM64=v8.0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s for %s/%s: %w\n%s", p.name, p.os, p.arch, err, out)
	}
	return nil
}

// writeChecksums writes checksums.txt, which names every file below dir, as sha256sum does.
func writeChecksums(dir string) error {
	const name = "checksums.txt"
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	// Walked in lexical order.
	err = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == name {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		sum, err := checksum(path)
		fmt.Fprintf(w, "%x  %s\n", sum, filepath.ToSlash(relative))
		return err
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

func checksum(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return h.Sum(nil), err
}
