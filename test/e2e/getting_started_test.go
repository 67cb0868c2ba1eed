package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// commands are those that docs/getting-started.md shows for a cluster with the demonstration's shop; what comes before makes such a cluster.
var commands = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// steps returns the commands of the page, section by section, for one shell: variables live on.
func steps() (out []string) {
	GinkgoHelper()
	page, err := os.ReadFile("../../docs/getting-started.md")
	Expect(err).NotTo(HaveOccurred())
	for _, m := range commands.FindAllStringSubmatch(string(page), -1) {
		out = append(out, m[1])
	}
	return out
}

// reader is somebody who has kubectl and the plugin in a directory of the PATH.
type reader struct{ bin string }

func newReader(ctx context.Context) *reader {
	GinkgoHelper()
	bin, err := os.MkdirTemp("", "")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, bin)
	kubectl, err := exec.LookPath(kubectlName())
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Symlink(kubectl, filepath.Join(bin, "kubectl"))).To(Succeed())
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/kubectl-fairlead")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return &reader{bin}
}

// shell runs commands in the checkout. It ends with the first that fails.
func (r *reader) shell(ctx context.Context, script string) string {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "PATH="+r.bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return string(out)
}

var _ = Describe("Getting started", Ordered, func() {
	var someone *reader

	BeforeAll(func(ctx context.Context) {
		someone = newReader(ctx)
		DeferCleanup(func(ctx context.Context) {
			someone.shell(ctx, "kubectl delete namespace shop --timeout=60s --ignore-not-found")
		})
		someone.shell(ctx, `kubectl apply --server-side -k config/demo
kubectl apply -f config/demo/policy.yaml
kubectl -n shop rollout status deployment/checkout deployment/inventory --timeout=60s`)
	}, NodeTimeout(3*time.Minute))

	It("goes as the page says, command by command", func(ctx context.Context) {
		all := steps()
		Expect(len(all)).To(BeNumerically(">", 8), "the commands of docs/getting-started.md")
		out := someone.shell(ctx, strings.Join(all, "echo\n"))
		GinkgoWriter.Println(out)
		for _, part := range []string{
			"service shop/inventory:80: governed", "retrypolicy.policy.fairlead.dev/inventory condition met", "In force for service shop/inventory:80",
			"GatewayError", "kept open until", "spec.timeouts", "retrypolicy.policy.fairlead.dev \"inventory\" deleted",
		} {
			Expect(out).To(ContainSubstring(part))
		}
	}, SpecTimeout(4*time.Minute))
})
