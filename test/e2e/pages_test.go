package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"fairlead.dev/fairlead/test/pages"
)

// shownShop is what the pages' commands are about: checkout-1 of shop calls payments of billing, of which three answers in ten are errors. A Service has annotations
// of Linkerd, for what imports them.
const shownShop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: billing}
---
apiVersion: v1
kind: Service
metadata: {name: payments, namespace: billing}
spec: {selector: {app: payments}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop, annotations: {retry.linkerd.io/http: 5xx, timeout.linkerd.io/request: 2s}}
spec: {selector: {app: cart}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: payments, namespace: billing, labels: {app: payments}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: server, image: "fairlead.dev/testserver:dev", imagePullPolicy: IfNotPresent, args: [serve], readinessProbe: {tcpSocket: {port: 7070}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: checkout-1, namespace: shop, labels: {app: checkout}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: caller
    image: fairlead.dev/testserver:dev
    imagePullPolicy: IfNotPresent
    args: [load, -url, "http://payments.billing/v1/charges?failPercent=30", -c, "2", -gap, 50ms]
`

const shownPolicy = `apiVersion: policy.fairlead.dev/v1alpha1
kind: RetryPolicy
metadata: {name: payments, namespace: shop}
spec:
  podSelector: {matchLabels: {app: checkout}}
  to: [{service: {name: payments, namespace: billing, port: 80}}]
  timeouts: {perTry: 2s, overall: 10s}
  retry: {maxRetries: 3, when: [GatewayError], budget: {percent: 100, minRetriesPerSecond: 100}}
  circuitBreaker: {consecutiveFailures: 100}
`

// shownBlocks are the blocks of commands by page, but for those of docs/getting-started.md, which has a story of its own.
func shownBlocks() (order []string, of map[string][]pages.Block, err error) {
	all, err := pages.Read("../..")
	of = map[string][]pages.Block{}
	for _, b := range all {
		if b.Page == gettingStarted || b.Script(nil, 1) == "" {
			continue
		}
		if of[b.Page] == nil {
			order = append(order, b.Page)
		}
		of[b.Page] = append(of[b.Page], b)
	}
	return order, of, err
}

// freePort is a port of this machine that nobody listened on a moment ago.
func freePort() string {
	GinkgoHelper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	return port
}

var _ = Describe("The docs' commands", Ordered, ContinueOnFailure, func() {
	var someone *reader
	var names map[string]string

	BeforeAll(func(ctx context.Context) {
		someone = newReader(ctx)
		someone.leave("config")
		for file, text := range map[string]string{
			"shop.yaml": shownShop, "policy.yaml": shownPolicy, "change.yaml": strings.Replace(shownPolicy, "perTry: 2s", "perTry: 1s", 1),
		} {
			Expect(os.WriteFile(filepath.Join(someone.dir, file), []byte(text), 0o600)).To(Succeed())
		}
		DeferCleanup(func(ctx context.Context) {
			someone.shell(ctx, `kubectl delete namespace shop billing --timeout=90s --ignore-not-found
kubectl -n fairlead-system delete rolebinding oncall oncall-live --ignore-not-found`)
		})
		someone.shell(ctx, `kubectl apply --server-side -f shop.yaml
kubectl config set-context --current --namespace=shop
kubectl wait --for=condition=Ready --timeout=90s pod/checkout-1 -n shop
kubectl wait --for=condition=Ready --timeout=90s pod/payments -n billing`)
		agent := cluster.agentOn(ctx, strings.TrimSpace(someone.shell(ctx, "kubectl get pod checkout-1 -n shop -o jsonpath='{.spec.nodeName}'"))).Name
		port := freePort()
		names = map[string]string{
			"NS": "shop", "NAMESPACE": "shop", "NAME": "payments", "CALLER": "checkout-1", "AGENT": agent,
			"AGENT 9464": agent + " " + port + ":9464", "localhost:9464": "localhost:" + port,
		}
	}, NodeTimeout(5*time.Minute))

	order, blocks, err := shownBlocks()
	It("are found", func() {
		Expect(err).NotTo(HaveOccurred())
		Expect(len(order)).To(BeNumerically(">=", 8), "pages with commands: %v", order)
	})
	for _, page := range order {
		It("go as "+page+" says", func(ctx context.Context) {
			someone.shell(ctx, `kubectl delete retrypolicies --all -n shop
kubectl apply -f policy.yaml
kubectl wait -n shop --for=condition=Programmed --timeout=30s retrypolicy/payments`)
			for _, b := range blocks[page] {
				GinkgoWriter.Printf("%s\n%s\n", b, someone.shell(ctx, b.Script(names, 5)))
			}
		}, SpecTimeout(4*time.Minute))
	}
})
