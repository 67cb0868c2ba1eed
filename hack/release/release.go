package main

import (
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"fairlead.dev/fairlead/hack/release/internal/charts"
	"fairlead.dev/fairlead/hack/release/internal/images"
	"fairlead.dev/fairlead/hack/release/internal/krew"
	"fairlead.dev/fairlead/hack/release/internal/manifests"
	"fairlead.dev/fairlead/hack/release/internal/sbom"
)

// release is one that is being made.
type release struct {
	tree, out, version, registry, downloads string
}

// users of the programs that run in the cluster, "UID:GID". The agent needs capabilities, and those of a process that is not root end with its first exec.
var users = map[string]string{"manager": "65532:65532", "agent": "0:0", "dashboard": "65532:65532"}

func (r *release) make() error {
	if err := r.checkTree(); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	for _, dir := range []string{"bin", "images", "sbom", "krew"} {
		if err := os.MkdirAll(filepath.Join(r.out, dir), 0o755); err != nil {
			return err
		}
	}
	programs, err := r.buildPrograms()
	if err != nil {
		return err
	}
	if err := r.packPlugin(programs); err != nil {
		return err
	}
	digests, err := r.writeImages(programs)
	if err != nil {
		return err
	}
	if err := r.writeManifests(digests); err != nil {
		return err
	}
	return writeChecksums(r.out)
}

// plugin is the program that people run.
const plugin = "kubectl-fairlead"

// packPlugin packs the plugin of kubectl for Krew.
func (r *release) packPlugin(all []program) error {
	k := krew.Recipe{Version: r.version, From: r.downloads + "/v" + r.version + "/krew", License: filepath.Join(r.tree, "LICENSE")}
	for _, p := range all {
		if p.name == plugin {
			k.Programs = append(k.Programs, krew.Program{OS: p.os, Arch: p.arch, Path: p.path})
		}
	}
	return krew.Write(k, filepath.Join(r.out, "krew"))
}

// writeImages writes the images of the programs that run in the cluster, and the components of all programs. It returns the digests of the images.
func (r *release) writeImages(programs []program) (map[string]string, error) {
	byArch := map[string]map[string]string{}
	for _, p := range programs {
		log.Printf("components of %s", filepath.Base(p.path))
		if err := sbom.Write(p.path, r.version, filepath.Join(r.out, "sbom", filepath.Base(p.path)+".cdx.json")); err != nil {
			return nil, err
		}
		if users[p.name] == "" {
			continue
		}
		if byArch[p.name] == nil {
			byArch[p.name] = map[string]string{}
		}
		byArch[p.name][p.arch] = p.path
	}
	return r.packImages(byArch)
}

// packImages writes an image of each program, and their sizes into images/sizes.md.
func (r *release) packImages(byArch map[string]map[string]string) (map[string]string, error) {
	digests := map[string]string{}
	sizes := "| image | platform | pulled, MB | unpacked, MB |\n|---|---|---|---|\n"
	for _, name := range slices.Sorted(maps.Keys(byArch)) {
		log.Printf("image of %s", name)
		written, err := images.Write(images.Recipe{
			Name: name, Tag: r.image(name) + ":" + r.version, Version: r.version, User: users[name],
			// For policies that trust them (tls.caBundleRef: {kind: System}).
			Roots:    name == "agent",
			Programs: byArch[name],
		}, filepath.Join(r.out, "images", fmt.Sprintf("%s-%s.oci.tar", name, r.version)))
		if err != nil {
			return nil, err
		}
		digests[name] = written.Digest
		for _, s := range written.Sizes {
			sizes += fmt.Sprintf("| `%s` | linux/%s | %.1f | %.1f |\n", name, s.Arch, float64(s.Pulled)/1e6, float64(s.Unpacked)/1e6)
		}
	}
	return digests, os.WriteFile(filepath.Join(r.out, "images", "sizes.md"), []byte(sizes), 0o644)
}

func (r *release) image(name string) string { return r.registry + "/" + name }

// writeManifests writes what names the images: install.yaml and the charts.
func (r *release) writeManifests(digests map[string]string) error {
	installed, err := manifests.Build(filepath.Join(r.tree, "config/default"), r.replaced(digests)...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.out, "install.yaml"), installed, 0o644); err != nil {
		return err
	}
	_, err = charts.Package(filepath.Join(r.tree, "charts", charts.Main), r.out, charts.Version{Version: r.version, Registry: r.registry, Digests: digests})
	if err != nil {
		return err
	}
	_, err = charts.Package(filepath.Join(r.tree, "charts", charts.CRDs), r.out, charts.Version{Version: r.version})
	return err
}
