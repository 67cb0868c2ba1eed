package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/hack/cluster/internal/build"
	"fairlead.dev/fairlead/hack/cluster/internal/image"
	"fairlead.dev/fairlead/hack/cluster/internal/paths"
	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// Users of programs in images, "UID:GID".
const (
	nonRoot = "65532:65532"
	// The agent needs capabilities, and those of a process that is not root end with its first exec.
	root = "0:0"
)

// Image is one that was built.
type Image struct {
	Tag, Digest, Archive string
}

// BuildImages builds one image per package directory, all of one module, with the race detector if race is set; it is named after the directory.
func BuildImages(ctx context.Context, dirs []string, race bool, progress build.Progress) ([]Image, error) {
	checkout, err := paths.Root()
	if err != nil {
		return nil, err
	}
	place, err := imageDir(checkout)
	if err != nil {
		return nil, err
	}
	packages := make([]string, len(dirs))
	for n, dir := range dirs {
		if packages[n], err = filepath.Abs(dir); err != nil {
			return nil, err
		}
	}
	if err := build.Packages(ctx, packages, place, race, progress); err != nil {
		return nil, err
	}
	var out []Image
	for _, dir := range packages {
		name := filepath.Base(dir)
		img, err := pack(name, filepath.Join(place, name))
		if err != nil {
			return nil, err
		}
		progress("image %s is %.19s", img.Tag, img.Digest)
		out = append(out, img)
	}
	return out, nil
}

// pack makes the image of a program.
func pack(name, program string) (Image, error) {
	place, err := imageDir(program)
	if err != nil {
		return Image{}, err
	}
	user := nonRoot
	if name == "agent" {
		user = root
	}
	img := Image{Tag: "fairlead.dev/" + name + ":dev", Archive: filepath.Join(place, name+".tar")}
	img.Digest, err = image.Build(image.Recipe{Tag: img.Tag, Program: program, User: user}, img.Archive)
	return img, err
}

// imageDir is the cache for what is made of source, which may be one of several checkouts.
func imageDir(source string) (string, error) {
	cache, err := paths.Cache()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(source))
	dir := filepath.Join(cache, "images", hex.EncodeToString(sum[:6]))
	return dir, os.MkdirAll(dir, 0o755)
}

// systemImages builds what every cluster needs; bin has the programs of EnsureKubernetes.
func systemImages(ctx context.Context, bin string, progress build.Progress) ([]Image, error) {
	checkout, err := paths.Root()
	if err != nil {
		return nil, err
	}
	images, err := BuildImages(ctx, []string{filepath.Join(checkout, "hack", "cluster", "pause")}, false, progress)
	if err != nil {
		return nil, err
	}
	coredns, err := pack("coredns", filepath.Join(bin, "coredns"))
	return append(images, coredns), err
}

// Load imports into all nodes the images they lack.
func (c *Cluster) Load(ctx context.Context, images []Image, progress build.Progress) error {
	unlock, err := c.lock(progress)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := c.load()
	if err != nil {
		return errors.Join(err, os.Remove(c.dir))
	}
	return c.importNew(ctx, s, images, progress)
}

// importNew imports into all nodes the images they lack.
func (c *Cluster) importNew(ctx context.Context, s *state, images []Image, progress build.Progress) error {
	if len(images) == 0 {
		return nil
	}
	if len(s.Runtimes) == 0 {
		return fmt.Errorf("cluster %s was made by an earlier version of this tool: take it down first", c.name)
	}
	var missing []Image
	for _, img := range images {
		if s.Images[img.Tag] != img.Digest {
			missing = append(missing, img)
		}
	}
	if err := c.importImages(ctx, s, missing); err != nil {
		return err
	}
	progress("%d of %d images were new to the nodes of cluster %s", len(missing), len(images), c.name)
	return nil
}

// importImages imports into all nodes at once, and records it.
func (c *Cluster) importImages(ctx context.Context, s *state, images []Image) error {
	if len(images) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for k := 1; k <= s.Nodes; k++ {
		group.Go(func() error { return c.importInto(ctx, s, k, images) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if s.Images == nil {
		s.Images = map[string]string{}
	}
	for _, img := range images {
		s.Images[img.Tag] = img.Digest
	}
	return c.save(s)
}

func (c *Cluster) importInto(ctx context.Context, s *state, k int, images []Image) error {
	ctr := c.plan(s).Runtime(k).Ctr
	ready := Check{Name: "containerd of " + plan.NodeName(k), Log: c.plan(s).Log(k, "containerd"), run: func(ctx context.Context) error {
		return runTied(c.inNode(ctx, s, k, ctr, "version"))
	}}
	if err := c.await(ctx, s, ready); err != nil {
		return err
	}
	for _, img := range images {
		cmd := c.inNode(ctx, s, k, ctr, "--namespace=k8s.io", "images", "import", img.Archive)
		if err := runTied(cmd); err != nil {
			return fmt.Errorf("import image %s into %s: %w; read %s", img.Tag, plan.NodeName(k), err, ready.Log)
		}
	}
	return nil
}
