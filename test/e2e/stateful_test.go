package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// connectionsPolicy governs connections to Services of which one endpoint is not there.
const connectionsPolicy = `
podSelector: {matchLabels: {app: programs}}
to:
- {service: {name: half-redis}, protocol: TCP}
- {service: {name: half-postgres}, protocol: TCP}
- {service: {name: half-mail}, protocol: TCP}
loadBalancing: {policy: RoundRobin}
retry: {maxRetries: 2, backoff: {initialInterval: 5ms}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`

var _ = Describe("databases and mail", Ordered, ContinueOnFailure, func() {
	var p *programs
	psql := func(service, statement string) []string {
		url := fmt.Sprintf("host=%s user=postgres sslmode=disable gssencmode=disable connect_timeout=60", p.name(service))
		return []string{"psql", "-X", "-A", "-t", "-q", "-d", url, "-c", statement}
	}
	redis := func(service string, args ...string) []string {
		return append([]string{"redis-cli", "-h", p.name(service)}, args...)
	}
	inRedis := func(ctx context.Context, args ...string) string {
		return p.serve(ctx, append([]string{"redis-cli"}, args...)...)
	}
	inPostgres := func(ctx context.Context, statement string) string {
		return p.serve(ctx, "psql", "-X", "-A", "-t", "-q", "-h", "127.0.0.1", "-U", "postgres", "-c", statement)
	}

	BeforeAll(func(ctx context.Context) {
		p = newPrograms(ctx)
		ip := p.servers.Status.PodIP
		for _, manifests := range []string{halfDeadService("half-redis", 6379, ip, 6379), halfDeadService("half-postgres", 5432, ip, 5432),
			halfDeadService("half-mail", 25, ip, 2525), deadService("gone", 5432, ip)} {
			p.applyAll(ctx, manifests)
		}
		Eventually(func() error {
			_, err := p.k.exec(ctx, p.servers, nil, "psql", "-h", "127.0.0.1", "-U", "postgres", "-c", "create table if not exists calls (n int)")
			return err
		}).WithContext(ctx).Should(Succeed(), "PostgreSQL serves")
	}, NodeTimeout(4*time.Minute))

	It("are reached at the endpoint that answers", func(ctx context.Context) {
		p.policy(ctx, "connections", connectionsPolicy)
		for _, service := range []string{"half-redis", "half-postgres", "half-mail"} {
			p.known(ctx, service, 2)
		}
		const n = 4
		inPostgres(ctx, "truncate calls")
		for i := range n {
			Expect(p.run(ctx, redis("half-redis", "INCR", "calls")...)).To(Equal([]string{fmt.Sprint(i + 1)}))
			p.run(ctx, psql("half-postgres", fmt.Sprintf("insert into calls values (%d)", i))...)
		}
		Expect(p.run(ctx, "/usr/bin/python3", "/programs/mail_client.py", p.name("half-mail"), "half@example.com", fmt.Sprint(n))).
			To(And(HaveLen(n), HaveEach("delivered")))
		Expect(inPostgres(ctx, "select count(*) from calls")).To(Equal(fmt.Sprint(n)))
		Expect(p.saw(ctx, "half@example.com").Requests).To(Equal(n))
		for _, service := range []string{"half-redis", "half-postgres", "half-mail"} {
			target := fmt.Sprintf(`target="service %s/%s`, p.namespace, service)
			Eventually(func() int { return p.tries(ctx, "connections", target, `kind="ok"`) }).WithContext(ctx).Should(Equal(n), service)
			Expect(p.tries(ctx, "connections", target, `attempt="retry"`)).To(BeNumerically(">", 0), service+" was tried again")
		}
		Eventually(func(g Gomega) {
			traffic, _, _ := unstructured.NestedMap(p.get(ctx, "connections").Object, "status", "traffic")
			g.Expect(traffic["retries"]).To(BeNumerically(">", 0))
			opened, _, _ := unstructured.NestedInt64(traffic, "opaque", "opened")
			g.Expect(opened).To(BeNumerically("==", 3*n))
		}).WithContext(ctx).WithTimeout(40 * time.Second).Should(Succeed())
	}, NodeTimeout(2*time.Minute))

	It("are left in peace while nobody can connect", func(ctx context.Context) {
		p.policy(ctx, "gone", `
podSelector: {matchLabels: {app: programs}}
to: [{service: {name: gone}, protocol: TCP}]
retry: {maxRetries: 0}
circuitBreaker: {consecutiveFailures: 3, open: {duration: 10m, maxDuration: 10m}}
`)
		p.known(ctx, "gone", 1)
		for range 5 {
			_, err := p.k.exec(ctx, p.client, nil, psql("gone", "select 1")...)
			Expect(err).To(HaveOccurred())
		}
		Eventually(func() int { return p.counted(ctx, "fairlead_proxy_requests_total", "gone", `kind="circuit_open"`) }).WithContext(ctx).Should(Equal(2))
		Expect(p.tries(ctx, "gone")).To(Equal(3), "an open circuit lets nobody connect")
		Eventually(func() string {
			shown, _, _ := unstructured.NestedString(p.get(ctx, "gone").Object, "status", "traffic", "breaker")
			return shown
		}).WithContext(ctx).Should(Equal("Open(1)"))
	}, NodeTimeout(time.Minute))

	It("have no more connections than written, and others wait", func(ctx context.Context) {
		p.policy(ctx, "limited", `
podSelector: {matchLabels: {app: programs}}
to: [{service: {name: redis}, protocol: TCP}]
connectionPool: {maxConnections: 2, maxPending: 10, pendingTimeout: 10m}
`)
		p.known(ctx, "redis", 1)
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				defer GinkgoRecover()
				Expect(p.run(ctx, redis("redis", "BLPOP", "queue", "0")...)).To(ContainElement("queue"))
			})
		}
		blocked := func() int { return strings.Count(inRedis(ctx, "CLIENT", "LIST"), "cmd=blpop") }
		Eventually(blocked).WithContext(ctx).Should(Equal(2))
		all.Go(func() {
			defer GinkgoRecover()
			Expect(p.run(ctx, redis("redis", "SET", "third", "was here")...)).To(Equal([]string{"OK"}))
		})
		waiting := func() int { return p.counted(ctx, "fairlead_upstream_waiting", "limited") }
		Eventually(waiting).WithContext(ctx).Should(Equal(1))
		Expect(inRedis(ctx, "EXISTS", "third")).To(Equal("0"), "the third waits for a connection")
		inRedis(ctx, "RPUSH", "queue", "a", "b")
		all.Wait()
		Expect(inRedis(ctx, "GET", "third")).To(Equal("was here"))
		Eventually(waiting).WithContext(ctx).Should(BeZero())
	}, NodeTimeout(time.Minute))

	It("lose connections that last longer than written", func(ctx context.Context) {
		p.policy(ctx, "brief", `
podSelector: {matchLabels: {app: programs}}
to: [{service: {name: postgres}, protocol: TCP}]
timeouts: {maxDuration: 1s}
`)
		p.known(ctx, "postgres", 1)
		_, err := p.k.exec(ctx, p.client, nil, psql("postgres", "select pg_sleep(3600)")...)
		Expect(err).To(MatchError(ContainSubstring("connection")))
		Eventually(func() string {
			return inPostgres(ctx, "select count(*) from pg_stat_activity where query like 'select pg_sleep%'")
		}).
			WithContext(ctx).Should(Equal("0"), "the server has noticed")
		Eventually(func() int { return p.counted(ctx, "fairlead_proxy_opaque_open_connections", "brief") }).WithContext(ctx).Should(BeZero())
		Expect(p.counted(ctx, "fairlead_proxy_opaque_connections_total", "brief")).To(Equal(1))
		Expect(p.counted(ctx, "fairlead_proxy_tunnel_duration_seconds_bucket", "brief", `le="10"`)).To(Equal(1))
	}, NodeTimeout(time.Minute))
})
