package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"fairlead.dev/fairlead/test/pages"
)

const gettingStarted = "docs/getting-started.md"

// steps returns the commands of the page, block by block, for one shell: variables live on. What comes before makes a cluster with the demonstration's shop.
func steps() (out []string) {
	GinkgoHelper()
	all, err := pages.Read("../..")
	Expect(err).NotTo(HaveOccurred())
	for _, b := range all {
		if b.Page == gettingStarted {
			b.Commands = slices.DeleteFunc(b.Commands, func(c string) bool { return pages.Find(b.Page, c) != nil })
			out = append(out, b.Commands...)
		}
	}
	return out
}

// reader is somebody who has kubectl and the plugin in a directory of the PATH, and works in a directory.
type reader struct {
	bin, dir string
	// environment is what the shell's has besides.
	environment []string
}

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
	return &reader{bin: bin, dir: "../.."}
}

// leave has the reader work in a directory of its own, which has parts of the checkout, with a home and a kubeconfig of its own.
func (r *reader) leave(parts ...string) {
	GinkgoHelper()
	r.dir = GinkgoT().TempDir()
	for _, part := range parts {
		from, err := filepath.Abs(filepath.Join("../..", part))
		Expect(err).NotTo(HaveOccurred())
		Expect(os.Symlink(from, filepath.Join(r.dir, part))).To(Succeed())
	}
	config, err := os.ReadFile(os.Getenv("KUBECONFIG"))
	Expect(err).NotTo(HaveOccurred())
	own := filepath.Join(r.dir, "kubeconfig")
	Expect(os.WriteFile(own, config, 0o600)).To(Succeed())
	r.environment = []string{"HOME=" + r.dir, "KUBECONFIG=" + own}
}

// shell runs commands. It ends with the first that fails.
func (r *reader) shell(ctx context.Context, script string) string {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = r.dir
	cmd.Env = append(append(os.Environ(), "PATH="+r.bin+":"+os.Getenv("PATH")), r.environment...)
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
		out := someone.shell(ctx, strings.Join(all, "\necho\n"))
		GinkgoWriter.Println(out)
		for _, part := range []string{
			"service shop/inventory:80: governed", "retrypolicy.policy.fairlead.dev/inventory condition met", "In force for service shop/inventory:80",
			"GatewayError", "kept open until", "spec.timeouts", "retrypolicy.policy.fairlead.dev \"inventory\" deleted",
		} {
			Expect(out).To(ContainSubstring(part))
		}
	}, SpecTimeout(4*time.Minute))
})
