package e2e

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// programFiles are clients that use other people's libraries, and the configurations of other people's servers.
//
//go:embed testdata/programs
var programFiles embed.FS

// neededPrograms are what the nodes must have installed. "hack/deps.sh peers" installs them where the nodes are this machine's.
const neededPrograms = "curl python3 node java javac keytool nginx haproxy redis-server redis-cli psql tinyproxy sha256sum"

// javaRoots are what programs in Java trust, where a story has made that.
const javaRoots = "/scratch/roots"

// trustOfServers has clients trust the CA of the servers.
var trustOfServers = []map[string]string{{"name": "SSL_CERT_FILE", "value": "/tls/ca.crt"}, {"name": "NODE_EXTRA_CA_CERTS", "value": "/tls/ca.crt"},
	{"name": "JAVA_TOOL_OPTIONS", "value": "-Djavax.net.ssl.trustStore=" + javaRoots + " -Djavax.net.ssl.trustStorePassword=changeit"}}

// programs are two pods on different nodes, in which programs of the nodes run: a client, and servers. Specs share them; only pods labelled
// app: programs are governed.
type programs struct {
	*environment
	client, servers *corev1.Pod
	// before stands before each program that the client's pod runs.
	before []string
}

// newPrograms makes them, or finds those that were made before. It skips where the nodes lack programs, which is a failure where nothing may be skipped.
func newPrograms(ctx context.Context) *programs {
	GinkgoHelper()
	p := &programs{environment: env}
	p.applyAll(ctx, programObjects)
	for name, ports := range programServices {
		p.applyObjects(ctx, serverService(p.namespace, name, ports))
	}
	p.applyObjects(ctx, p.materials()...)
	caller := container("programs", []string{testserver, "serve"}, 7070)
	caller["env"] = append(caller["env"].([]map[string]string), trustOfServers...)
	p.applyObjects(ctx, p.pod("programs", env.caller().Spec.NodeName, caller))
	p.client = p.ready(ctx, "programs")
	missing, err := env.k.exec(ctx, p.client, nil, "/bin/sh", "-c", `for p in `+neededPrograms+`; do command -v $p >/dev/null || echo $p; done
		/usr/bin/python3 -c "import grpc" 2>/dev/null || echo python3-grpcio; [ -e /usr/share/java/grpc-netty.jar ] || echo libgrpc-java; ls -d /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || echo postgres`)
	if missing = strings.Join(strings.Fields(missing), " "); err != nil || missing != "" {
		Expect(os.Getenv("REQUIRE_PRIVILEGED")).NotTo(Equal("1"), "nodes lack %s (%v), and nothing may be skipped; hack/deps.sh peers installs them", missing, err)
		Skip(fmt.Sprintf("NOT RUN: nodes lack programs: %s %v", missing, err))
	}
	p.applyObjects(ctx, p.pod("servers", env.upstream.Spec.NodeName, serverContainers()...))
	p.servers = p.ready(ctx, "servers")
	p.reachable(ctx, "nginx-tls:443", "haproxy-tls:443", "proxy:8888")
	return p
}

// reachable waits until connections to ports of Services are not refused any more: to hosts it is the cluster that leads them, not the agent.
func (p *programs) reachable(ctx context.Context, services ...string) {
	GinkgoHelper()
	for _, s := range services {
		service, port, _ := strings.Cut(s, ":")
		Eventually(func() []string {
			return p.run(ctx, testserver, "dial", "-wait", "1ms", "-addr", p.name(service)+":"+port)
		}).WithContext(ctx).Should(ConsistOf(HavePrefix("connected")), s)
	}
}

// materials are what both pods mount: the files, and a certificate for the names of the Services, which is made once.
func (p *programs) materials() []any {
	GinkgoHelper()
	files := map[string]string{}
	Expect(fs.WalkDir(programFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := programFiles.ReadFile(name)
		files[path.Base(name)] = string(b)
		return err
	})).To(Succeed())
	if env.certificate == nil {
		env.certificate = newCertificate("*."+env.namespace+".svc", "*."+env.namespace+".svc.cluster.local", "*.tax.example")
	}
	named := func(kind, name, field string, data map[string]string) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": p.namespace}, field: data}
	}
	return []any{named("ConfigMap", "programs", "data", files), named("Secret", "programs-tls", "stringData", env.certificate),
		named("ConfigMap", "programs-ca", "data", map[string]string{"ca.crt": env.certificate["ca.crt"]})}
}

// applyObjects applies what is written in Go rather than YAML.
func (p *programs) applyObjects(ctx context.Context, all ...any) {
	GinkgoHelper()
	for _, o := range all {
		b, err := json.Marshal(o)
		Expect(err).NotTo(HaveOccurred())
		Expect(p.k.apply(ctx, object(string(b)))).To(Succeed())
	}
}

// container is one that runs a program of the node and is ready once it listens on a port.
func container(name string, command []string, port int) map[string]any {
	mounts := []map[string]any{{"name": "programs", "mountPath": "/programs"}, {"name": "tls", "mountPath": "/tls"}, {"name": "scratch", "mountPath": "/scratch"},
		{"name": "scratch", "mountPath": "/tmp"}}
	for _, dir := range env.nodeDirs() {
		mounts = append(mounts, map[string]any{"name": dir, "mountPath": "/" + dir, "readOnly": true})
	}
	return map[string]any{
		"name": name, "image": "fairlead.dev/testserver:dev", "imagePullPolicy": "IfNotPresent", "command": command, "volumeMounts": mounts,
		"env":            []map[string]string{{"name": "PATH", "value": "/usr/sbin:/usr/bin:/sbin:/bin"}, {"name": "HOME", "value": "/scratch"}, {"name": "LC_ALL", "value": "C.UTF-8"}},
		"readinessProbe": map[string]any{"tcpSocket": map[string]any{"port": port}, "periodSeconds": 1},
	}
}

// nodeDirs are the directories of a node that programs need.
func (s *environment) nodeDirs() []string {
	dirs := []string{"usr", "bin", "sbin", "lib", "etc"}
	if s.architecture == "amd64" {
		dirs = append(dirs, "lib64")
	}
	return dirs
}

// pod is a pod on a node.
func (p *programs) pod(name, node string, containers ...map[string]any) any {
	volumes := []map[string]any{{"name": "programs", "configMap": map[string]any{"name": "programs"}},
		{"name": "tls", "secret": map[string]any{"secretName": "programs-tls"}}, {"name": "scratch", "emptyDir": map[string]any{}}}
	for _, dir := range p.nodeDirs() {
		volumes = append(volumes, map[string]any{"name": dir, "hostPath": map[string]any{"path": "/" + dir}})
	}
	spec := map[string]any{
		"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": containers, "volumes": volumes, "enableServiceLinks": false,
		// Nobody's user has a name on every node, which initdb asks for. It may listen on port 443.
		"securityContext": map[string]any{"runAsUser": 65534, "runAsGroup": 65534,
			"sysctls": []map[string]string{{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}}},
	}
	if name == "servers" {
		spec["hostAliases"] = []map[string]any{{"ip": "127.0.0.1", "hostnames": []string{behindProxy}}}
	}
	metadata := map[string]any{"name": name, "namespace": p.namespace, "labels": map[string]string{"app": name}}
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
}

// ready waits until a pod is, and returns it.
func (p *programs) ready(ctx context.Context, name string) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{}
	Eventually(func() ([]corev1.ContainerStatus, error) {
		if err := p.k.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: name}, pod); err != nil {
			return nil, err
		}
		if len(readyPods([]corev1.Pod{*pod})) == 1 {
			return nil, nil
		}
		return append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: "the pod is not ready"}), nil
	}).WithContext(ctx).WithTimeout(2*time.Minute).Should(BeEmpty(), name)
	return pod
}

// run runs a program in the client's pod and returns the lines it prints. It must end well.
func (p *programs) run(ctx context.Context, args ...string) []string {
	GinkgoHelper()
	out, err := p.k.exec(ctx, p.client, nil, append(slices.Clone(p.before), args...)...)
	Expect(err).NotTo(HaveOccurred(), out)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// serve runs a program among the servers, where no policy has a hand in it.
func (p *programs) serve(ctx context.Context, args ...string) string {
	GinkgoHelper()
	out, err := p.k.exec(ctx, p.servers, nil, args...)
	Expect(err).NotTo(HaveOccurred(), out)
	return strings.TrimSpace(out)
}

// saw is what the scripted server behind the others saw under a key.
func (p *programs) saw(ctx context.Context, key string) seen {
	GinkgoHelper()
	var got seen
	Expect(json.Unmarshal([]byte(p.serve(ctx, testserver, "get", "http://127.0.0.1:8080/_stats?key="+key)), &got)).To(Succeed())
	return got
}

// known waits until the agent of the client's node knows n ready endpoints of a Service. No other node has a governed pod.
func (p *programs) known(ctx context.Context, service string, n int) {
	GinkgoHelper()
	Eventually(func() (int, error) {
		f, err := p.k.askAgent(ctx, p.k.agentOn(ctx, p.client.Spec.NodeName))
		if err != nil {
			return 0, err
		}
		return f.endpoints(p.namespace + "/" + service), nil
	}).WithContext(ctx).WithPolling(200*time.Millisecond).Should(Equal(n), "known endpoints of "+service)
}
