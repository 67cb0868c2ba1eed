// Package krew packs the plugin of kubectl for Krew, the plugin manager: an archive for each platform, and the manifest that names them by their checksums.
package krew

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Name is the plugin's: kubectl krew install fairlead.
const Name = "fairlead"

// program is what the plugin's program is called in archives, and by kubectl.
const program = "kubectl-fairlead"

// Program is the program for one platform.
type Program struct{ OS, Arch, Path string }

// Recipe says what is packed. From is where the archives will be downloaded from, as they are called.
type Recipe struct {
	Version, From string
	// License is the file that goes into each archive, beside the program.
	License  string
	Programs []Program
}

// Plugin is a manifest of Krew (krew.googlecontainertools.github.com/v1alpha2).
type Plugin struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

// Metadata names a plugin.
type Metadata struct {
	Name string `json:"name"`
}

// Spec describes a plugin.
type Spec struct {
	Version          string     `json:"version"`
	Homepage         string     `json:"homepage"`
	ShortDescription string     `json:"shortDescription"`
	Description      string     `json:"description"`
	Caveats          string     `json:"caveats"`
	Platforms        []Platform `json:"platforms"`
}

// Platform is where an archive is, and which of its files is the program.
type Platform struct {
	Selector Selector `json:"selector"`
	URI      string   `json:"uri"`
	SHA256   string   `json:"sha256"`
	Bin      string   `json:"bin"`
}

// Selector chooses platforms.
type Selector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// Write writes archives and manifest into a directory.
func Write(r Recipe, dir string) error {
	p := Plugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: Metadata{Name},
		Spec: Spec{
			Version: "v" + r.Version, Homepage: "https://fairlead.dev",
			ShortDescription: "See and try outbound call policies",
			Description: "Shows what fairlead does with the outbound calls of pods: which policies are in force,\nwhich of them would govern a call, and what became of calls, live and step by step.\n" +
				"fairlead run tries policies for a command on this machine, without a cluster.\n",
			Caveats: "Most commands need fairlead in the cluster, and the rights that docs/reference/cli.md lists.\n",
		},
	}
	for _, of := range r.Programs {
		file := fmt.Sprintf("%s-%s-%s.tar.gz", program, of.OS, of.Arch)
		sum, err := pack(filepath.Join(dir, file), packed{program, of.Path, 0o755}, packed{"LICENSE", r.License, 0o644})
		if err != nil {
			return fmt.Errorf("pack %s: %w", file, err)
		}
		p.Spec.Platforms = append(p.Spec.Platforms, Platform{
			Selector: Selector{map[string]string{"os": of.OS, "arch": of.Arch}}, URI: strings.TrimSuffix(r.From, "/") + "/" + file, SHA256: sum, Bin: program,
		})
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, Name+".yaml"), text, 0o644)
}

// packed is a file of an archive.
type packed struct {
	name, from string
	mode       int64
}

// pack writes an archive, the same for the same files, and returns its checksum.
func pack(to string, files ...packed) (string, error) {
	f, err := os.Create(to)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	z := gzip.NewWriter(io.MultiWriter(f, sum))
	t := tar.NewWriter(z)
	for _, of := range files {
		text, err := os.ReadFile(of.from)
		if err != nil {
			return "", err
		}
		h := &tar.Header{Name: of.name, Mode: of.mode, Size: int64(len(text)), ModTime: time.Unix(0, 0).UTC(), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return "", err
		}
		if _, err := t.Write(text); err != nil {
			return "", err
		}
	}
	if err := t.Close(); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), f.Close()
}
