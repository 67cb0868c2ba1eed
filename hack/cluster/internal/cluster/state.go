// Package cluster brings clusters up and down and looks after them. What it makes on the host it
// records first, so that it can always be taken away again.
package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/hack/cluster/internal/build"
	"fairlead.dev/fairlead/hack/cluster/internal/machine"
	"fairlead.dev/fairlead/hack/cluster/internal/paths"
	"fairlead.dev/fairlead/hack/cluster/internal/plan"
)

// DefaultName is the cluster that make targets use unless another one is named.
const DefaultName = "fairlead"

// stateFile is the record of a cluster, in its directory.
const stateFile = "state.json"

// namePattern keeps names fit for paths and cgroups.
var namePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

// ErrNotFound is returned for a cluster that does not exist.
var ErrNotFound = errors.New("there is no such cluster")

// state is the record. Each part is written before what it describes is made.
type state struct {
	Index      int                `json:"index"`
	Nodes      int                `json:"nodes"`
	DualStack  bool               `json:"dualStack"`
	Bin        string             `json:"bin"`
	Runtimes   []plan.Runtime     `json:"runtimes"`
	Supervisor *machine.ProcessID `json:"supervisor,omitempty"`
	// Complete is set once the cluster was healthy for the first time.
	Complete bool `json:"complete"`
	// Images maps tags to the digests that all nodes have.
	Images map[string]string `json:"images,omitempty"`
}

// Cluster is one cluster of this user, existing or not.
type Cluster struct {
	name string
	dir  string
}

// New names a cluster; it makes nothing.
func New(name string) (*Cluster, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("cluster name %q: want at most 20 lower-case letters, digits and hyphens, starting with a letter", name)
	}
	base, err := paths.State()
	if err != nil {
		return nil, err
	}
	return &Cluster{name: name, dir: filepath.Join(base, "clusters", name)}, nil
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return (&plan.Cluster{Dir: c.dir}).Kubeconfig() }

// Find returns an error, ErrNotFound if that is it, unless there is such a cluster.
func (c *Cluster) Find() error {
	_, err := c.load()
	return err
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

func (c *Cluster) plan(s *state) *plan.Cluster {
	return &plan.Cluster{
		Name: c.name, Dir: c.dir, Nodes: s.Nodes,
		Network: plan.Network{Index: s.Index, DualStack: s.DualStack},
		Bin:     s.Bin, Runtimes: s.Runtimes,
	}
}

// load reads the record; ErrNotFound if there is none.
func (c *Cluster) load() (*state, error) {
	b, err := os.ReadFile(c.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cluster %s: %w", c.name, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("decode record of cluster %s: %w", c.name, err)
	}
	return &s, nil
}

// save replaces the record in one step.
func (c *Cluster) save(s *state) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	file := c.path(stateFile)
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// lock makes the cluster's directory and keeps other runs of this program off the cluster.
func (c *Cluster) lock(progress build.Progress) (unlock func(), err error) {
	for {
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return nil, err
		}
		f, err := os.Open(c.dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken down just now
		}
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			progress("waiting for another run that works on cluster %s", c.name)
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock cluster %s: %w", c.name, err)
		}
		if same(f, c.dir) {
			return func() { f.Close() }, nil
		}
		f.Close() // who held the lock removed the directory
	}
}

func same(f *os.File, path string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}
