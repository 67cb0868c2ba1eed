package e2e

import "fmt"

// behindProxy is a name that only the servers' pod knows, so that it can be reached through the proxy there and in no other way.
const behindProxy = "api.partner.test"

// programObjects are a right for the manager, and what it may read by it.
const programObjects = `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: fairlead-references, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fairlead-references}
subjects: [{kind: ServiceAccount, name: fairlead-manager, namespace: fairlead-system}]
---
apiVersion: v1
kind: Secret
metadata: {name: proxy, namespace: NS}
type: kubernetes.io/basic-auth
stringData: {username: caller, password: secret}
`

// servicePort is a port of a Service, and the one of the servers' pod that is behind it.
type servicePort struct{ port, target int }

// programServices are the Services of the servers. Those for TLS have the port for that alone.
var programServices = map[string][]servicePort{
	"nginx": {{80, 8081}, {81, 8082}}, "nginx-tls": {{443, 8443}},
	"haproxy": {{80, 8091}, {81, 8092}}, "haproxy-tls": {{443, 8493}},
	"grpc": {{9090, 9090}}, "grpc-tls": {{443, 8494}},
	"scripted": {{80, 8080}, {81, 8083}}, "refusing-tls": {{443, 8495}}, "mail": {{25, 2525}},
	"redis": {{6379, 6379}}, "postgres": {{5432, 5432}}, "proxy": {{8888, 8888}},
}

// serverService is the manifest of a Service of the servers' pod.
func serverService(namespace, name string, ports []servicePort) any {
	var all []map[string]any
	for _, p := range ports {
		all = append(all, map[string]any{"name": fmt.Sprintf("port-%d", p.port), "port": p.port, "targetPort": p.target})
	}
	return map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name, "namespace": namespace},
		"spec": map[string]any{"selector": map[string]string{"app": "servers"}, "ports": all}}
}

// serverContainers are the containers of the servers' pod. The scripted server is the first.
func serverContainers() []map[string]any {
	return []map[string]any{
		container("scripted", []string{testserver, "serve", "-grpc", ":9090", "-mail", ":2525", "-refuse", ":8083", "-udp", ":443"}, 7070),
		container("nginx", []string{"nginx", "-p", "/scratch", "-e", "stderr", "-c", "/programs/nginx.conf"}, 8081),
		container("haproxy", []string{"haproxy", "-db", "-f", "/programs/haproxy.cfg"}, 8091),
		container("redis", []string{"redis-server", "--port", "6379", "--save", "", "--protected-mode", "no", "--dir", "/scratch"}, 6379),
		container("postgres", []string{"/bin/sh", "-ec", startPostgres}, 5432),
		container("tinyproxy", []string{"tinyproxy", "-d", "-c", "/programs/tinyproxy.conf"}, 8888),
	}
}

// startPostgres has a server find out at once that a client has gone.
const startPostgres = `
for bin in /usr/lib/postgresql/*/bin; do :; done
[ -e /scratch/postgres/PG_VERSION ] || $bin/initdb -D /scratch/postgres -U postgres -A trust --locale=C --no-sync
echo "host all all all trust" >>/scratch/postgres/pg_hba.conf
exec $bin/postgres -D /scratch/postgres -c listen_addresses='*' -c unix_socket_directories=/scratch -c fsync=off -c client_connection_check_interval=100ms
`

// halfDeadService is a Service with an endpoint that answers and one where nothing listens.
func halfDeadService(name string, port int, ip string, live int) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: NS}
spec: {ports: [{port: %[2]d}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-live, namespace: NS, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: %[4]d, protocol: TCP}]
endpoints: [{addresses: ["%[3]s"], conditions: {ready: true}}]
---
`, name, port, ip, live) + deadEndpoint(name, ip)
}

// deadService is a Service with an endpoint where nothing listens, and no other.
func deadService(name string, port int, ip string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: NS}
spec: {ports: [{port: %d}]}
---
`, name, port) + deadEndpoint(name, ip)
}

func deadEndpoint(name, ip string) string {
	return fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s-dead, namespace: NS, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: 9, protocol: TCP}]
endpoints: [{addresses: ["%[2]s"], conditions: {ready: true}}]
`, name, ip)
}
