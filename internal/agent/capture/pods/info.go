package pods

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maxInfo bounds the runtime's verbose description of one sandbox; real ones have a few KiB.
const maxInfo = 4 << 20

// ErrNoNamespace says that a sandbox's description names no network namespace that this process can open.
var ErrNoNamespace = errors.New("no network namespace found")

// netnsFolders are where runtimes mount network namespaces, under both names of the folder.
var netnsFolders = []string{"/run/netns", "/var/run/netns"}

// verboseInfo is what containerd and CRI-O agree on in the JSON that they give under "info".
type verboseInfo struct {
	RuntimeSpec struct {
		Linux struct {
			Namespaces []struct {
				Type string `json:"type"`
				Path string `json:"path"`
			} `json:"namespaces"`
		} `json:"linux"`
	} `json:"runtimeSpec"`
}

// locate completes s from its verbose status. folder is where this process sees the runtime's network namespaces.
func locate(s Sandbox, status *runtimeapi.PodSandboxStatusResponse, folder string) Sandbox {
	if status.GetStatus().GetLinux().GetNamespaces().GetOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE {
		s.Host = true
		return s
	}
	name, err := netnsName([]byte(status.GetInfo()["info"]))
	if err != nil {
		s.Err = err
		return s
	}
	s.NetNS = filepath.Join(folder, name)
	return s
}

// netnsName finds the name under which the sandbox's network namespace is mounted.
func netnsName(info []byte) (string, error) {
	if len(info) > maxInfo {
		return "", fmt.Errorf("%w: the runtime's description has %d bytes", ErrNoNamespace, len(info))
	}
	var v verboseInfo
	if err := json.Unmarshal(info, &v); err != nil {
		return "", fmt.Errorf("%w: the runtime's description is not understood: %w", ErrNoNamespace, err)
	}
	for _, ns := range v.RuntimeSpec.Linux.Namespaces {
		if ns.Type != "network" {
			continue
		}
		at := path.Clean(ns.Path)
		if name := path.Base(at); slices.Contains(netnsFolders, path.Dir(at)) && name != "." && name != ".." {
			return name, nil
		}
		return "", fmt.Errorf("%w: the runtime keeps it at %q, not in %s", ErrNoNamespace, ns.Path, netnsFolders[0])
	}
	return "", fmt.Errorf("%w: the runtime's description has none", ErrNoNamespace)
}
