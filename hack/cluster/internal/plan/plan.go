package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/hack/cluster/internal/machine"
)

// apiPort is the API server's, in the first node's own network namespace.
const apiPort = 6443

// Images that every node has from the start.
const (
	PauseImage   = "fairlead.dev/pause:dev"
	CoreDNSImage = "fairlead.dev/coredns:dev"
)

// Cluster is the whole plan of one cluster.
type Cluster struct {
	Name    string
	Dir     string // state: configuration, credentials, logs, the nodes' disks
	Nodes   int
	Network Network

	Bin string // directory of Kubernetes' programs
	// Runtimes are those of the nodes in turn; the last one is that of all further nodes, too.
	Runtimes []Runtime
}

// Runtime is a containerd with what belongs to it.
type Runtime struct {
	Containerd string `json:"containerd"` // path of the program
	Ctr        string `json:"ctr"`        // path of its client
	// Shim is the path of its shim for runc; empty where containerd finds it by itself and, being of version 1, is configured in its way.
	Shim string `json:"shim,omitempty"`
}

// Runtime is that of node k.
func (c *Cluster) Runtime(k int) Runtime { return c.Runtimes[min(k, len(c.Runtimes))-1] }

// NodeName names node k, counted from 1.
func NodeName(k int) string { return "node" + strconv.Itoa(k) }

// Server is the URL of the API server as machines and the host see it.
func (c *Cluster) Server() string {
	return "https://" + net.JoinHostPort(c.controlPlane().String(), strconv.Itoa(apiPort))
}

// controlPlane is the address of the node on which the control plane runs.
func (c *Cluster) controlPlane() netip.Addr { return c.Network.Node(1)[0].Addr() }

// NodeAddress is the first address of node k.
func (c *Cluster) NodeAddress(k int) netip.Addr { return c.Network.Node(k)[0].Addr() }

// Link is the only thing a cluster has in the host's network namespace.
func (c *Cluster) Link() machine.HostLink {
	l := machine.HostLink{Name: "fl-" + c.fingerprint(), Addresses: c.Network.Host()}
	for k := 1; k <= c.Nodes; k++ {
		l.Routes = append(l.Routes, via(c.Network.NodePods(k), c.Network.Node(k))...)
	}
	// The first node's kube-proxy serves those who come from the host.
	l.Routes = append(l.Routes, via(c.Network.Services(), c.Network.Node(1))...)
	return l
}

// Cgroup is the cgroup below which all of the cluster runs.
func (c *Cluster) Cgroup() string { return "fairlead-" + c.Name + "-" + c.fingerprint() }

// fingerprint tells this cluster's traces on the host from those of others that have the same name
// but another state directory. It depends on nothing else, so what it names is known to be ours.
func (c *Cluster) fingerprint() string {
	sum := sha256.Sum256([]byte(c.Dir))
	return hex.EncodeToString(sum[:4])
}

// Paths below the state directory.
func (c *Cluster) Kubeconfig() string      { return filepath.Join(c.Dir, "kubeconfig") }
func (c *Cluster) LogDir() string          { return filepath.Join(c.Dir, "logs") }
func (c *Cluster) SpecFile() string        { return filepath.Join(c.Dir, "machines.json") }
func (c *Cluster) log(name string) string  { return filepath.Join(c.LogDir(), name+".log") }
func (c *Cluster) SupervisorLog() string   { return c.log("supervisor") }
func (c *Cluster) MachineLog(k int) string { return c.log(NodeName(k)) }
func (c *Cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.Dir}, parts...)...)
}
func (c *Cluster) pkiDir() string               { return c.path("pki") }
func (c *Cluster) nodeDir(k int) string         { return c.path("nodes", NodeName(k)) }
func (c *Cluster) config(name string) string    { return c.path("config", name) }
func (c *Cluster) kubeconfig(who string) string { return c.config(who + ".kubeconfig") }

// Log is the log of a program on node k, as "kubelet" or "etcd".
func (c *Cluster) Log(k int, program string) string { return c.log(NodeName(k) + "-" + program) }

// Spec is what the supervisor is to run.
func (c *Cluster) Spec() *machine.Spec {
	s := &machine.Spec{Uplink: c.Link().Peer()}
	for k := 1; k <= c.Nodes; k++ {
		s.Machines = append(s.Machines, c.machine(k))
	}
	return s
}

func (c *Cluster) machine(k int) machine.Machine {
	m := machine.Machine{
		Name:      NodeName(k),
		Addresses: c.Network.Node(k),
		Routes:    c.nodeRoutes(k),
		Cgroup:    c.Cgroup() + "/" + NodeName(k),
		Binds: []machine.Bind{
			{Source: filepath.Join(c.nodeDir(k), "lib"), Target: "/var/lib"},
			{Source: filepath.Join(c.nodeDir(k), "log"), Target: "/var/log"},
		},
		Log: c.MachineLog(k),
	}
	if k == 1 {
		m.Processes = c.controlPlanePrograms()
	}
	m.Processes = append(m.Processes, c.nodePrograms(k)...)
	return m
}

// nodeRoutes lead to the other nodes' pods, and everywhere else to the host: nothing is reached
// there, but without a default route an address cannot even be tried, and cluster IPs must be
// tried before kube-proxy's rules see them.
func (c *Cluster) nodeRoutes(k int) []machine.Route {
	var out []machine.Route
	for other := 1; other <= c.Nodes; other++ {
		if other != k {
			out = append(out, via(c.Network.NodePods(other), c.Network.Node(other))...)
		}
	}
	everywhere := c.Network.prefixes(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
	return append(out, via(everywhere, c.Network.Host())...)
}

// via pairs ranges and neighbours of the same family.
func via(ranges, neighbours []netip.Prefix) []machine.Route {
	out := make([]machine.Route, len(ranges))
	for i := range ranges {
		out[i] = machine.Route{Destination: ranges[i], Via: neighbours[i].Addr()}
	}
	return out
}

// join writes values as Kubernetes' flags want lists.
func join[T fmt.Stringer](values []T) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.String()
	}
	return strings.Join(out, ",")
}
