package e2e

import "fmt"

// behindProxy is a name that only the servers' pod knows, so that it can be reached through the proxy there and in no other way.
const behindProxy = "api.partner.test"

// programServices are the Services of the servers. nginx-tls and haproxy-tls have the port for TLS alone.
const programServices = `
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
---
apiVersion: v1
kind: Service
metadata: {name: nginx, namespace: NS}
spec: {selector: {app: servers}, ports: [{name: http, port: 80, targetPort: 8081}, {name: http2, port: 81, targetPort: 8082}]}
---
apiVersion: v1
kind: Service
metadata: {name: haproxy, namespace: NS}
spec: {selector: {app: servers}, ports: [{name: http, port: 80, targetPort: 8091}, {name: http2, port: 81, targetPort: 8092}]}
---
apiVersion: v1
kind: Service
metadata: {name: nginx-tls, namespace: NS}
spec: {selector: {app: servers}, ports: [{name: tls, port: 443, targetPort: 8443}]}
---
apiVersion: v1
kind: Service
metadata: {name: haproxy-tls, namespace: NS}
spec: {selector: {app: servers}, ports: [{name: tls, port: 443, targetPort: 8493}]}
---
apiVersion: v1
kind: Service
metadata: {name: grpc, namespace: NS}
spec: {selector: {app: servers}, ports: [{port: 9090}]}
---
apiVersion: v1
kind: Service
metadata: {name: redis, namespace: NS}
spec: {selector: {app: servers}, ports: [{port: 6379}]}
---
apiVersion: v1
kind: Service
metadata: {name: postgres, namespace: NS}
spec: {selector: {app: servers}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: proxy, namespace: NS}
spec: {selector: {app: servers}, ports: [{port: 8888}]}
`

// serverContainers are the containers of the servers' pod. The scripted server is the first.
func serverContainers() []map[string]any {
	return []map[string]any{
		container("scripted", []string{testserver, "serve", "-grpc", ":9090", "-mail", ":2525", "-udp", ":443"}, 7070),
		container("nginx", []string{"nginx", "-p", "/work", "-e", "stderr", "-c", "/programs/nginx.conf"}, 8081),
		container("haproxy", []string{"haproxy", "-db", "-f", "/programs/haproxy.cfg"}, 8091),
		container("redis", []string{"redis-server", "--port", "6379", "--save", "", "--protected-mode", "no", "--dir", "/work"}, 6379),
		container("postgres", []string{"/bin/sh", "-ec", startPostgres}, 5432),
		container("tinyproxy", []string{"tinyproxy", "-d", "-c", "/programs/tinyproxy.conf"}, 8888),
	}
}

// startPostgres has a server find out at once that a client has gone.
const startPostgres = `
for bin in /usr/lib/postgresql/*/bin; do :; done
[ -e /work/postgres/PG_VERSION ] || $bin/initdb -D /work/postgres -U postgres -A trust --locale=C --no-sync
echo "host all all all trust" >>/work/postgres/pg_hba.conf
exec $bin/postgres -D /work/postgres -c listen_addresses='*' -c unix_socket_directories=/work -c fsync=off -c client_connection_check_interval=100ms
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
