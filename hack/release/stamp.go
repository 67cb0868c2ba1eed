package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"

	"fairlead.dev/fairlead/hack/release/internal/manifests"
)

// noRelease are versions of what is made to see it made.
var noRelease = regexp.MustCompile(`-(check|dev|test)([.-]|$)`)

// imagesFile names the images of config/release.
const imagesFile = "config/images/kustomization.yaml"

// images returns those of the release, by tag: digests are known only once what is tagged has been built.
func (r *release) images() []byte {
	var b bytes.Buffer
	b.WriteString(`# The images of a release. make release-images writes them, in the commit that is tagged; 0.0.0-dev is no release.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
images:
`)
	for _, name := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&b, "- name: fairlead.dev/%s\n  newName: %s\n  newTag: %s\n", name, r.image(name), r.version)
	}
	return b.Bytes()
}

// stamp has config/release of the tree name the images of the release.
func (r *release) stamp() error {
	return os.WriteFile(filepath.Join(r.tree, imagesFile), r.images(), 0o644)
}

// checkTree fails where config/release of the tree installs other images than the release makes, or the tree has what is not committed. What is no release, by a
// version such as 0.0.1-check, is made all the same.
func (r *release) checkTree() error {
	why, err := r.wrong()
	if err != nil || why == "" {
		return err
	}
	if noRelease.MatchString(r.version) {
		log.Print(why)
		return nil
	}
	return errors.New(why)
}

// wrong says what keeps a tree from being that of the release; empty: nothing.
func (r *release) wrong() (string, error) {
	has, err := os.ReadFile(filepath.Join(r.tree, imagesFile))
	if err != nil {
		return "", err
	}
	if !bytes.Equal(has, r.images()) {
		return fmt.Sprintf("%s names other images than %s: run make release-images VERSION=%s REGISTRY=%s, commit it, tag that commit v%s, and make the release from it",
			imagesFile, r.image("NAME")+":"+r.version, r.version, r.registry, r.version), nil
	}
	changed, err := exec.Command("git", "-C", r.tree, "status", "--porcelain").Output()
	if err != nil {
		return "", fmt.Errorf("git status of %s: %w", r.tree, err)
	}
	if len(changed) > 0 {
		return fmt.Sprintf("%s has what is not committed, and nobody could make the same release again: commit it, or make the release from a clone\n%s", r.tree, changed), nil
	}
	return "", nil
}

// replaced are the images of manifests, with those of a release in their places.
func (r *release) replaced(digests map[string]string) (all []manifests.Image) {
	for _, name := range []string{"agent", "manager"} {
		all = append(all, manifests.Image{Name: "fairlead.dev/" + name, NewName: r.image(name), NewTag: r.version, Digest: digests[name]})
	}
	return all
}
