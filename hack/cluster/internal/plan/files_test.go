package plan

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func writtenCluster(t *testing.T) *Cluster {
	t.Helper()
	c := &Cluster{
		Name: "test", Dir: t.TempDir(), Nodes: 2, Network: Network{Index: 3, DualStack: true},
		Bin: "/bin", Runtimes: []Runtime{{Containerd: "/cache/containerd", Ctr: "/cache/ctr", Shim: "/cache/shim"}, {Containerd: "/usr/bin/containerd", Ctr: "/usr/bin/ctr"}},
	}
	if err := c.Write(Options{CNIBin: "/usr/lib/cni", Snapshotter: "overlayfs"}); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEveryFileThatProgramsNameExists catches a flag and a file drifting apart.
func TestEveryFileThatProgramsNameExists(t *testing.T) {
	c := writtenCluster(t)
	named := 0
	for _, m := range c.Spec().Machines {
		for _, p := range m.Processes {
			for _, arg := range p.Args[1:] {
				_, path, _ := strings.Cut(arg, "=")
				if !strings.HasPrefix(path, c.Dir) {
					continue
				}
				named++
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s of %s: %v", arg, p.Name, err)
				}
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d flags name files of the plan", named)
	}
}

func TestNothingInsecure(t *testing.T) {
	c := writtenCluster(t)
	var text strings.Builder
	err := filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if filepath.Ext(path) == ".key" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		b, err := os.ReadFile(path)
		text.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"insecure-skip", "AlwaysAllow", "token-auth-file", "anonymous: {enabled: true}"} {
		if strings.Contains(text.String(), bad) {
			t.Errorf("the plan contains %q", bad)
		}
	}
}

func TestCredentials(t *testing.T) {
	c := writtenCluster(t)
	roots := pool(t, c.caFile())
	identities := map[string]string{
		"admin": "admin", "kube-proxy": "system:kube-proxy", "kube-scheduler": "system:kube-scheduler",
		"kube-controller-manager": "system:kube-controller-manager",
		"node1-kubelet":           "system:node:node1", "node2-kubelet": "system:node:node2",
	}
	for file, user := range identities {
		cert := certificate(t, c, file)
		if cert.Subject.CommonName != user {
			t.Errorf("%s is %q, want %q", file, cert.Subject.CommonName, user)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		masters := slices.Contains(cert.Subject.Organization, "system:masters")
		if masters != (file == "admin") {
			t.Errorf("%s has groups %v", file, cert.Subject.Organization)
		}
	}
	server := certificate(t, c, fileAPIServer)
	for _, host := range []string{c.controlPlane().String(), c.Network.APIService()[0].String(), "[" + c.Network.APIService()[1].String() + "]", "kubernetes.default.svc"} {
		if _, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("API server as %s: %v", host, err)
		}
	}
	if _, err := server.Verify(x509.VerifyOptions{Roots: pool(t, c.path("pki", "etcd", "ca.crt"))}); err == nil {
		t.Error("etcd's authority vouches for the API server")
	}
}

// Pods may have IPv6 alone: of the same network, whose addresses are given once.
func TestPodsMayHaveIPv6Alone(t *testing.T) {
	c := writtenCluster(t)
	var both, alone struct {
		Name    string
		Plugins []struct {
			Type string
			IPAM struct {
				DataDir string
				Ranges  [][]struct{ Subnet netip.Prefix }
				Routes  []struct{ Dst netip.Prefix }
			}
		}
	}
	for dir, list := range map[string]any{c.cniDir(2): &both, c.cniDir6(2): &alone} {
		b, err := os.ReadFile(filepath.Join(dir, "10-pods.conflist"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, list); err != nil {
			t.Fatal(err)
		}
	}
	if alone.Name != both.Name || len(alone.Plugins) != len(both.Plugins) {
		t.Errorf("%+v is not the network of %+v", alone, both)
	}
	for i, p := range alone.Plugins {
		if p.Type != "ptp" {
			continue
		}
		of := both.Plugins[i].IPAM
		if p.IPAM.DataDir != of.DataDir || len(p.IPAM.Ranges) != 1 || p.IPAM.Ranges[0][0] != of.Ranges[1][0] || len(p.IPAM.Routes) != 1 || p.IPAM.Routes[0] != of.Routes[1] {
			t.Errorf("%+v, of %+v", p.IPAM, of)
		}
	}
	for file, want := range map[string]string{containerdFile(1): `cni_conf_dir = "/var/lib/cni/ipv6.d"`, containerdFile(2): `cni_conf_dir = "/var/lib/cni/ipv6.d"`, "bootstrap.yaml": "handler: ipv6"} {
		if b, err := os.ReadFile(c.config(file)); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s does not say %q, %v", file, want, err)
		}
	}
}

func TestCNIConfigurationIsJSON(t *testing.T) {
	c := writtenCluster(t)
	b, err := os.ReadFile(filepath.Join(c.cniDir(2), "10-pods.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Plugins []struct{ Type string }
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Network.NodePods(2) {
		if !strings.Contains(string(b), r.String()) {
			t.Errorf("range %s of node2 is missing", r)
		}
	}
	if !json.Valid([]byte(c.NodePatch(2))) {
		t.Errorf("patch of node2 is not JSON: %s", c.NodePatch(2))
	}
}

func certificate(t *testing.T, c *Cluster, file string) *x509.Certificate {
	t.Helper()
	p := c.pair(file)
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		t.Fatalf("no certificate in %s", file)
	}
	return roots
}

// A node's containerd is configured in the way of its version, and the last one named is that of all further nodes.
func TestContainerdsAreConfiguredByVersion(t *testing.T) {
	c := writtenCluster(t)
	for k, want := range map[int][]string{
		1: {"version = 3", `bin_dirs = ["/usr/lib/cni"]`, `runtime_path = "/cache/shim"`, `sandbox = "` + PauseImage + `"`},
		2: {"version = 2", `bin_dir = "/usr/lib/cni"`, `sandbox_image = "` + PauseImage + `"`},
	} {
		b, err := os.ReadFile(c.config(containerdFile(k)))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range append(want, `snapshotter = "overlayfs"`, "restrict_oom_score_adj = true") {
			if !strings.Contains(string(b), w) {
				t.Errorf("the configuration of node %d does not say %s", k, w)
			}
		}
		if program := c.nodePrograms(k)[0].Args[0]; program != c.Runtime(k).Containerd {
			t.Errorf("node %d runs %s", k, program)
		}
	}
	if c.Runtime(9) != c.Runtimes[1] {
		t.Errorf("node 9 has %+v", c.Runtime(9))
	}
}
