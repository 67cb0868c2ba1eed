package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// cluster and env are set up once: the specs run one after another and share them.
var (
	cluster *kube
	env     *environment
)

func TestE2E(t *testing.T) {
	if os.Getenv("KUBECONFIG") == "" {
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatal("KUBECONFIG is not set, and REQUIRE_PRIVILEGED=1 says that nothing may be skipped")
		}
		t.Skip("NOT RUN: KUBECONFIG is not set; start a cluster with make cluster-up, deploy with make deploy, and run make e2e")
	}
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "fairlead on a real cluster")
}

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	cluster, err = connect()
	Expect(err).NotTo(HaveOccurred())
	By("waiting for the manager and for an agent on every node")
	cluster.waitForFairlead(ctx)
	By("making the environment: an upstream, and a caller on every node")
	env = newEnvironment(ctx, cluster, fmt.Sprintf("fairlead-e2e-%d", time.Now().Unix()))
}, NodeTimeout(4*time.Minute))

var _ = AfterSuite(func(ctx context.Context) {
	if env != nil {
		env.clear(ctx)
	}
}, NodeTimeout(time.Minute))

var _ = ReportAfterEach(func(r SpecReport) {
	if r.Failed() && cluster != nil {
		cluster.explain(r.LeafNodeText)
	}
})
