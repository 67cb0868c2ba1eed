package plan

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"fairlead.dev/fairlead/hack/cluster/internal/pki"
)

// Base names of certificate files.
const (
	fileEtcd              = "etcd/server"
	fileEtcdClient        = "kube-apiserver"
	fileAPIServer         = "kube-apiserver"
	fileKubeletClient     = "kube-apiserver-kubelet-client"
	fileControllerManager = "kube-controller-manager-serving"
	fileScheduler         = "kube-scheduler-serving"
)

// kubeletClientUser is how the API server presents itself to kubelets; see the bootstrap manifest.
const kubeletClientUser = "kube-apiserver-kubelet-client"

// writeCredentials makes the authorities and one credential per component. etcd trusts an
// authority of its own: whoever may read it has the whole cluster, and that is the API server only.
func (c *Cluster) writeCredentials() error {
	if err := c.writeEtcdCredentials(); err != nil {
		return err
	}
	ca, err := pki.NewAuthority(c.pkiDir(), c.Name+"-ca")
	if err != nil {
		return err
	}
	if _, _, err := ca.SigningKey("service-account"); err != nil {
		return err
	}
	for _, r := range c.certificates() {
		if _, err := ca.Issue(r); err != nil {
			return err
		}
	}
	return c.writeKubeconfigs(ca)
}

func (c *Cluster) writeEtcdCredentials() error {
	ca, err := pki.NewAuthority(filepath.Join(c.pkiDir(), "etcd"), c.Name+"-etcd-ca")
	if err != nil {
		return err
	}
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	if _, err := ca.Issue(pki.Request{File: filepath.Base(fileEtcd), CommonName: "etcd", Addresses: loopback}); err != nil {
		return err
	}
	_, err = ca.Issue(pki.Request{File: fileEtcdClient, CommonName: "kube-apiserver"})
	return err
}

// certificates are those of servers, and of the API server as the kubelets' client.
func (c *Cluster) certificates() []pki.Request {
	control := append(addrs(c.Network.Node(1)), netip.MustParseAddr("127.0.0.1"))
	out := []pki.Request{
		{
			File: fileAPIServer, CommonName: "kube-apiserver",
			DNSNames: []string{
				NodeName(1), "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc." + clusterDomain,
			},
			Addresses: append(c.Network.APIService(), control...),
		},
		{File: fileKubeletClient, CommonName: kubeletClientUser},
		{File: fileControllerManager, CommonName: "kube-controller-manager", Addresses: control},
		{File: fileScheduler, CommonName: "kube-scheduler", Addresses: control},
	}
	for k := 1; k <= c.Nodes; k++ {
		name := NodeName(k)
		out = append(out, pki.Request{
			File: name + "-kubelet-serving", CommonName: "system:node:" + name, Organizations: []string{"system:nodes"},
			DNSNames: []string{name}, Addresses: addrs(c.Network.Node(k)),
		})
	}
	return out
}

// writeKubeconfigs makes the credentials by which components, and the user, reach the API server.
func (c *Cluster) writeKubeconfigs(ca *pki.Authority) error {
	users := []pki.Request{
		{File: "kube-controller-manager", CommonName: "system:kube-controller-manager"},
		{File: "kube-scheduler", CommonName: "system:kube-scheduler"},
		{File: "kube-proxy", CommonName: "system:kube-proxy"},
	}
	for k := 1; k <= c.Nodes; k++ {
		users = append(users, pki.Request{
			File: NodeName(k) + "-kubelet", CommonName: "system:node:" + NodeName(k), Organizations: []string{"system:nodes"},
		})
	}
	for _, u := range users {
		if err := c.writeKubeconfig(ca, c.kubeconfig(u.File), u); err != nil {
			return err
		}
	}
	admin := pki.Request{File: "admin", CommonName: "admin", Organizations: []string{"system:masters"}}
	return c.writeKubeconfig(ca, c.Kubeconfig(), admin)
}

func (c *Cluster) writeKubeconfig(ca *pki.Authority, path string, r pki.Request) error {
	k := pki.Kubeconfig{Cluster: c.Name, Server: c.Server(), User: r.File}
	if err := ca.WriteKubeconfig(path, k, r); err != nil {
		return fmt.Errorf("write kubeconfig of %s: %w", r.File, err)
	}
	return nil
}
