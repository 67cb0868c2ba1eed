package e2e

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"fairlead.dev/fairlead/internal/cli"
	"fairlead.dev/fairlead/test/browser"
)

var _ = Describe("the dashboard", Ordered, func() {
	const policy = "dashboard-story"
	var chromium context.Context
	var address, axe string

	BeforeAll(func(ctx context.Context) {
		var err error
		axe, err = browser.Axe()
		if err != nil || browser.Program() == "" {
			if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
				Fail("chromium and axe-core are needed: hack/deps.sh browser, and make web")
			}
			Skip("NOT RUN: chromium and axe-core are needed: hack/deps.sh browser, and make web")
		}
		address = dashboard()
		var end func()
		chromium, end, err = browser.Start(context.WithoutCancel(ctx), GinkgoT().TempDir())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(end)
		env.policy(ctx, policy, `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
timeouts: {perTry: 7s}
concurrency: {max: 33}
`)
		for range 5 {
			Expect(env.call(ctx, env.caller(), env.url("/dashboard-before")).OK).To(Equal(1))
		}
	}, NodeTimeout(3*time.Minute))

	// look opens a page, waits until it shows texts, and looks for what is wrong with it.
	look := func(name, path string, shows ...string) {
		GinkgoHelper()
		p, err := browser.Open(chromium, address+path, browser.View{Width: 1280, Height: 900})
		Expect(err).NotTo(HaveOccurred())
		defer p.Close()
		for _, text := range shows {
			Expect(p.Eventually(`document.body.innerText.includes(` + strconv.Quote(text) + `)`)).To(Succeed())
		}
		if dir := os.Getenv("SCREENSHOTS"); dir != "" {
			Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
			Expect(p.Screenshot(filepath.Join(dir, "cluster-"+name+".png"))).To(Succeed())
		}
		found, err := p.Inaccessible(axe)
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(BeEmpty())
		Expect(p.Wrong()).To(BeEmpty())
	}

	It("shows what real pods call, and under which policy", func(ctx context.Context) {
		to := env.namespace + "/upstream:80"
		look("overview", "#/overview?ns="+env.namespace, "caller", "upstream")
		look("policies", "#/policies", policy)
		look("policy", "#/policy/"+env.namespace+"/"+policy, "timeouts.perTry", "7s", "RetryPolicy "+env.namespace+"/"+policy, "Programmed")
		look("destination", "#/destination/"+to, env.upstream.Status.PodIP, "33")
		look("changes", "#/changes", policy)
		look("problems", "#/problems?result=all", "agents:")
		look("nodes", "#/nodes", cluster.nodes(ctx)[0].Name)
	}, NodeTimeout(4*time.Minute))

	It("shows calls while they end", func(ctx context.Context) {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(done)
			for { // until the page has shown one: it may not have been connected to the agents at first
				select {
				case <-stop:
					return
				default:
					env.call(ctx, env.caller(), env.url("/dashboard-live"))
				}
			}
		}()
		defer func() {
			close(stop)
			<-done
		}()
		look("calls", "#/calls?ns="+env.namespace, "/dashboard-live")
	}, NodeTimeout(3*time.Minute))
})

// dashboard runs kubectl fairlead dashboard until the stories end, and returns the address that it prints.
func dashboard() string {
	GinkgoHelper()
	in, out, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	cmd := cli.New(genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: GinkgoWriter})
	cmd.SetArgs([]string{"dashboard", "--no-open", "--kubeconfig", os.Getenv("KUBECONFIG"), "--fairlead-namespace", systemNamespace})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	DeferCleanup(func() {
		cancel()
		Expect(<-ended).To(Succeed())
		Expect(out.Close()).To(Succeed())
		Expect(in.Close()).To(Succeed())
	})
	line, err := bufio.NewReader(in).ReadString('\n')
	Expect(err).NotTo(HaveOccurred())
	for word := range strings.FieldsSeq(line) {
		if strings.HasPrefix(word, "http://") {
			return word
		}
	}
	Fail("no address in " + line)
	return ""
}
