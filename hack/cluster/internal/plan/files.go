package plan

import (
	"bytes"
	"embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

//go:embed files
var files embed.FS

// values fill the templates in files/.
type values struct {
	PauseImage, CoreDNSImage string
	CNIBin, Snapshotter      string
	Shim                     string
	CAFile, Cert, Key        string
	Domain                   string
	DNS                      []netip.Addr
	Ranges                   []netip.Prefix
	Defaults                 []string
	KubeletClientUser        string
	DualStack                bool
}

// Options are what the host decides about a plan's files.
type Options struct {
	CNIBin      string // directory of the CNI plugins
	Snapshotter string // containerd's way to stack image layers
}

// Write stores every file that the programs of the plan read.
func (c *Cluster) Write(o Options) error {
	for _, dir := range []string{c.path("config"), c.LogDir(), c.path("etcd")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := c.writeCredentials(); err != nil {
		return err
	}
	v := c.values(o)
	if err := render("bootstrap.yaml", c.Bootstrap(), v); err != nil {
		return err
	}
	for k := 1; k <= c.Nodes; k++ {
		if err := c.writeNodeFiles(k, v); err != nil {
			return err
		}
	}
	return c.Spec().WriteFile(c.SpecFile())
}

// Bootstrap is the path of the manifest to apply once the API server answers.
func (c *Cluster) Bootstrap() string { return c.config("bootstrap.yaml") }

func (c *Cluster) writeNodeFiles(k int, v values) error {
	pair := c.pair(NodeName(k) + "-kubelet-serving")
	v.Cert, v.Key = pair.Cert, pair.Key
	v.Ranges = c.Network.NodePods(k)
	if err := render("kubelet.yaml", c.config(NodeName(k)+"-kubelet.yaml"), v); err != nil {
		return err
	}
	v.Shim = c.Runtime(k).Shim
	toml := "containerd.toml"
	if v.Shim == "" {
		toml = "containerd-1.toml"
	}
	if err := render(toml, c.config(containerdFile(k)), v); err != nil {
		return err
	}
	cni := c.cniDir(k)
	if err := os.MkdirAll(cni, 0o755); err != nil {
		return err
	}
	if err := render("cni.conflist", filepath.Join(cni, "10-pods.conflist"), v); err != nil || !c.Network.DualStack {
		return err
	}
	// The same network, so that no address is given twice, for pods that are to have IPv6 alone.
	v.Ranges, v.Defaults = v.Ranges[1:], v.Defaults[1:]
	if err := os.MkdirAll(c.cniDir6(k), 0o755); err != nil {
		return err
	}
	return render("cni.conflist", filepath.Join(c.cniDir6(k), "10-pods.conflist"), v)
}

// NodePatch tells the API server the pod ranges of node k, which no controller allocates here.
func (c *Cluster) NodePatch(k int) string {
	ranges := c.Network.NodePods(k)
	quoted := make([]string, len(ranges))
	for i, r := range ranges {
		quoted[i] = strconv.Quote(r.String())
	}
	return fmt.Sprintf(`{"spec":{"podCIDR":%s,"podCIDRs":[%s]}}`, quoted[0], strings.Join(quoted, ","))
}

func (c *Cluster) cniDir(k int) string { return filepath.Join(c.nodeDir(k), "lib", "cni", "net.d") }

// cniDir6 is that of the runtime handler of pods that have IPv6 alone.
func (c *Cluster) cniDir6(k int) string { return filepath.Join(c.nodeDir(k), "lib", "cni", "ipv6.d") }

func (c *Cluster) values(o Options) values {
	v := values{
		PauseImage: PauseImage, CoreDNSImage: CoreDNSImage,
		CNIBin: o.CNIBin, Snapshotter: o.Snapshotter,
		CAFile: c.caFile(), Domain: clusterDomain, DNS: c.Network.DNSService(),
		Defaults:          []string{"0.0.0.0/0"},
		KubeletClientUser: kubeletClientUser, DualStack: c.Network.DualStack,
	}
	if c.Network.DualStack {
		v.Defaults = append(v.Defaults, "::/0")
	}
	return v
}

func render(name, path string, v values) error {
	t, err := template.ParseFS(files, "files/"+name)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return fmt.Errorf("fill in %s: %w", name, err)
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
