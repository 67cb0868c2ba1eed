// Package kernel says what kernel the node runs, and which of what capture uses of it works.
package kernel

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

// again is how long passes before the kernel is asked once more for what did not work: somebody may have loaded a module.
const again = 30 * time.Second

// Facts are what is known of the kernel.
type Facts struct {
	// Release is what uname -r prints.
	Release  string
	Features []Feature
	// Err is why Features could not be found out, or nil.
	Err error
}

// Feature is something that capture uses.
type Feature struct {
	nft.Feature
	// Loaded: its module is among those that are loaded. What is built in is not.
	Loaded bool
}

// Kernel is the node's kernel. Any goroutine may ask at any time; the features are found out when somebody first asks.
type Kernel struct {
	// immutable after New
	probe   func() ([]nft.Feature, error)
	modules string // /proc/modules

	mu sync.Mutex // held while finding out, so that it is done once
	// guarded by mu
	features []nft.Feature
	err      error
	until    time.Time // when to find out again; zero: not yet found out
}

// New returns the kernel of a host's namespace. Finding out needs what capturing needs: CAP_SYS_ADMIN and CAP_NET_ADMIN.
func New(host *netns.Host) *Kernel {
	return &Kernel{modules: "/proc/modules", probe: func() ([]nft.Feature, error) {
		ns, err := host.Scratch()
		if err != nil {
			return nil, fmt.Errorf("make a network namespace: %w", err)
		}
		defer func() { _ = ns.Close() }()
		return nft.Features(ns), nil
	}}
}

// Facts returns what is known, at now. What works is not asked for again.
func (k *Kernel) Facts(now time.Time) Facts {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until.IsZero() || !now.Before(k.until) {
		k.features, k.err = k.probe()
		k.until = now.Add(again)
		if k.err == nil && allWork(k.features) {
			k.until = now.AddDate(100, 0, 0)
		}
	}
	facts := Facts{Release: release(), Err: k.err}
	loaded := k.loaded()
	for _, f := range k.features {
		facts.Features = append(facts.Features, Feature{f, loaded[f.Module]})
	}
	return facts
}

func allWork(features []nft.Feature) bool {
	for _, f := range features {
		if f.Err != nil {
			return false
		}
	}
	return true
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// loaded are the modules that are loaded. There are none where there is no such list, as in a kernel without modules.
func (k *Kernel) loaded() map[string]bool {
	file, err := os.Open(k.modules)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	return loadedIn(file)
}

// loadedIn reads the names of modules that are ready, in the form of /proc/modules: name, size, users, who they are, state, address.
func loadedIn(list io.Reader) map[string]bool {
	names := map[string]bool{}
	for lines := bufio.NewScanner(list); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) >= 5 && f[4] == "Live" {
			names[f[0]] = true
		}
	}
	return names
}
