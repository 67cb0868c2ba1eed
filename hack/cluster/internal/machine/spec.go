// Package machine makes one Linux host look like several: each machine has its own process,
// mount, network, host name, IPC and cgroup namespaces. It knows nothing of Kubernetes and must
// not touch anything outside the namespaces it made, except the cgroups and the link it was given.
//
// Everything hangs on one process, the supervisor, which is process 1 of its own PID namespace.
// When it dies, for whatever reason, the kernel kills all that runs below it, and with the last
// process go the mounts, links and rules. So nothing has to be searched for by name.
package machine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
)

// Spec says what a supervisor runs.
type Spec struct {
	// Uplink is the link to the host, moved into the supervisor's network namespace before the start.
	Uplink   string    `json:"uplink"`
	Machines []Machine `json:"machines"`
}

// Machine is one node: where it is in the network, what it sees of the file system, what it runs.
type Machine struct {
	Name      string         `json:"name"`
	Addresses []netip.Prefix `json:"addresses"`
	Routes    []Route        `json:"routes"`
	// Cgroup is the machine's cgroup below the root of every hierarchy; it becomes the machine's root.
	Cgroup    string    `json:"cgroup"`
	Binds     []Bind    `json:"binds"`
	Processes []Process `json:"processes"`
	// Log is the file the machine's first process writes to.
	Log string `json:"log"`
}

// Route sends packets for Destination to the neighbour Via.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	Via         netip.Addr   `json:"via"`
}

// Bind shows Source, a directory of the host, at Target inside the machine.
type Bind struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Process is a program the machine keeps running.
type Process struct {
	Name string   `json:"name"`
	Args []string `json:"args"`
	Log  string   `json:"log"`
	// Needs must accept connections before the program is started for the first time.
	Needs Endpoint `json:"needs"`
}

// Endpoint is something to connect to; the zero value is nothing.
type Endpoint struct {
	Network string `json:"network,omitempty"`
	Address string `json:"address,omitempty"`
}

// WriteFile stores the specification at path.
func (s *Spec) WriteFile(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode machine specification: %w", err)
	}
	return os.WriteFile(path, b, 0o600)
}

// ReadSpec loads a specification written by WriteFile.
func ReadSpec(path string) (*Spec, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s Spec
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	return &s, nil
}

// Machine finds a machine by its name.
func (s *Spec) Machine(name string) (*Machine, error) {
	for i := range s.Machines {
		if s.Machines[i].Name == name {
			return &s.Machines[i], nil
		}
	}
	return nil, fmt.Errorf("no machine named %q", name)
}
