package plan

import (
	"net/netip"
	"path/filepath"
	"strconv"

	"fairlead.dev/fairlead/hack/cluster/internal/machine"
	"fairlead.dev/fairlead/hack/cluster/internal/pki"
)

// clusterDomain is the DNS domain of Services.
const clusterDomain = "cluster.local"

const (
	containerdSocket = "/run/containerd/containerd.sock"
	etcdEndpoint     = "127.0.0.1:2379"
)

func (c *Cluster) apiEndpoint() machine.Endpoint {
	return machine.Endpoint{Network: "tcp", Address: netip.AddrPortFrom(c.controlPlane(), apiPort).String()}
}

// program describes one of Kubernetes' own.
func (c *Cluster) program(k int, name string, args ...string) machine.Process {
	return machine.Process{
		Name:  name,
		Needs: c.needs(name),
		Args:  append([]string{filepath.Join(c.Bin, name)}, args...),
		Log:   c.Log(k, name),
	}
}

// needs is what a program cannot start without. Those not named here wait for the API server.
func (c *Cluster) needs(name string) machine.Endpoint {
	switch name {
	case "etcd":
		return machine.Endpoint{}
	case "kube-apiserver":
		return machine.Endpoint{Network: "tcp", Address: etcdEndpoint}
	case "kubelet":
		return machine.Endpoint{Network: "unix", Address: containerdSocket}
	default:
		return c.apiEndpoint()
	}
}

func (c *Cluster) pair(file string) pki.Pair {
	return pki.Pair{Cert: filepath.Join(c.pkiDir(), file+".crt"), Key: filepath.Join(c.pkiDir(), file+".key")}
}

func (c *Cluster) caFile() string { return c.pair("ca").Cert }

func (c *Cluster) controlPlanePrograms() []machine.Process {
	return []machine.Process{c.etcd(), c.apiServer(), c.controllerManager(), c.scheduler()}
}

func (c *Cluster) etcd() machine.Process {
	server := c.pair(fileEtcd)
	return c.program(1, "etcd",
		"--name=etcd",
		"--data-dir="+c.path("etcd"),
		"--listen-client-urls=https://"+etcdEndpoint,
		"--advertise-client-urls=https://"+etcdEndpoint,
		"--listen-peer-urls=http://127.0.0.1:2380", // one member: nobody speaks there
		"--cert-file="+server.Cert, "--key-file="+server.Key,
		"--client-cert-auth", "--trusted-ca-file="+c.path("pki", "etcd", "ca.crt"),
		"--unsafe-no-fsync", // a cluster that is thrown away need not survive a power cut
		"--log-level=warn",
	)
}

func (c *Cluster) apiServer() machine.Process {
	serving, kubelet := c.pair(fileAPIServer), c.pair(fileKubeletClient)
	etcd := c.path("pki", "etcd", fileEtcdClient)
	return c.program(1, "kube-apiserver",
		"--advertise-address="+c.controlPlane().String(),
		"--secure-port="+strconv.Itoa(apiPort),
		"--tls-cert-file="+serving.Cert, "--tls-private-key-file="+serving.Key,
		"--client-ca-file="+c.caFile(),
		"--etcd-servers=https://"+etcdEndpoint,
		"--etcd-cafile="+c.path("pki", "etcd", "ca.crt"), "--etcd-certfile="+etcd+".crt", "--etcd-keyfile="+etcd+".key",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--service-cluster-ip-range="+join(c.Network.Services()),
		"--service-account-issuer=https://kubernetes.default.svc."+clusterDomain,
		"--service-account-signing-key-file="+c.path("pki", "service-account.key"),
		"--service-account-key-file="+c.path("pki", "service-account.pub"),
		"--kubelet-certificate-authority="+c.caFile(),
		"--kubelet-client-certificate="+kubelet.Cert, "--kubelet-client-key="+kubelet.Key,
		"--kubelet-preferred-address-types=InternalIP", // nobody resolves the nodes' names
		"--profiling=false",
	)
}

func (c *Cluster) controllerManager() machine.Process {
	serving := c.pair(fileControllerManager)
	kubeconfig := c.kubeconfig("kube-controller-manager")
	return c.program(1, "kube-controller-manager",
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--authentication-skip-lookup", // client-ca-file says all there is to know
		"--bind-address="+c.controlPlane().String(),
		"--tls-cert-file="+serving.Cert, "--tls-private-key-file="+serving.Key,
		"--client-ca-file="+c.caFile(),
		"--cluster-signing-cert-file="+c.caFile(), "--cluster-signing-key-file="+c.pair("ca").Key,
		"--root-ca-file="+c.caFile(),
		"--service-account-private-key-file="+c.path("pki", "service-account.key"),
		"--use-service-account-credentials",
		"--service-cluster-ip-range="+join(c.Network.Services()),
		"--allocate-node-cidrs=false", // the plan gives each node its ranges
		"--leader-elect=false",        // there is only one
		"--profiling=false",
	)
}

func (c *Cluster) scheduler() machine.Process {
	serving := c.pair(fileScheduler)
	kubeconfig := c.kubeconfig("kube-scheduler")
	return c.program(1, "kube-scheduler",
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--authentication-skip-lookup", // client-ca-file says all there is to know
		"--bind-address="+c.controlPlane().String(),
		"--tls-cert-file="+serving.Cert, "--tls-private-key-file="+serving.Key,
		"--client-ca-file="+c.caFile(),
		"--leader-elect=false",
		"--profiling=false",
	)
}

func (c *Cluster) nodePrograms(k int) []machine.Process {
	name := NodeName(k)
	return []machine.Process{
		{Name: "containerd", Args: []string{c.Runtime(k).Containerd, "--config=" + c.config(containerdFile(k))}, Log: c.Log(k, "containerd")},
		c.program(k, "kubelet",
			"--config="+c.config(name+"-kubelet.yaml"),
			"--kubeconfig="+c.kubeconfig(name+"-kubelet"),
			"--hostname-override="+name,
			"--node-ip="+join(addrs(c.Network.Node(k))),
		),
		c.program(k, "kube-proxy",
			"--kubeconfig="+c.kubeconfig("kube-proxy"),
			"--hostname-override="+name,
			"--proxy-mode=nftables",
			"--cluster-cidr="+join(c.Network.Pods()),
			"--healthz-bind-address="+c.NodeAddress(k).String(),
			"--oom-score-adj=0",
			// The limits of connection tracking belong to the host; leave them alone.
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		),
	}
}

// containerdFile names the configuration of node k's containerd.
func containerdFile(k int) string { return NodeName(k) + "-containerd.toml" }
