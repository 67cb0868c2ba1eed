package e2e

import (
	"bufio"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
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
	}, NodeTimeout(3*time.Minute))

	// look opens a page in each view, waits until it shows texts, has somebody do more with it, and looks for what is wrong with it.
	look := func(name, path string, shows []string, more func(p *browser.Page)) {
		GinkgoHelper()
		for _, v := range dashboardViews {
			p, err := browser.Open(chromium, address+path, v)
			Expect(err).NotTo(HaveOccurred())
			for _, text := range shows {
				Expect(p.Eventually(`document.body.innerText.includes(`+strconv.Quote(text)+`)`)).To(Succeed(), "%s, %s", name, v)
			}
			if more != nil {
				more(p)
			}
			if dir := os.Getenv("SCREENSHOTS"); dir != "" {
				Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
				Expect(p.Screenshot(filepath.Join(dir, "cluster-"+name+"-"+v.String()+".png"))).To(Succeed())
			}
			expectSound(p, axe, name+", "+v.String())
			p.Close()
		}
	}

	It("shows what real pods call, and under which policy", func(ctx context.Context) {
		// All the time: an agent that a story before has replaced may take the first ones, and report them to nobody any more.
		defer calling(func() {
			Expect(env.call(ctx, env.caller(), env.url("/dashboard-before"), "-gap", "100ms", "-n", "10").OK).To(Equal(10))
		})()
		to := env.namespace + "/upstream:80"
		look("overview", "#/overview?ns="+env.namespace, []string{"caller", "upstream"}, nil)
		look("policies", "#/policies", []string{policy}, nil)
		look("policy", "#/policy/"+env.namespace+"/"+policy, []string{"timeouts.perTry", "7s", "RetryPolicy " + env.namespace + "/" + policy, "Programmed"}, nil)
		look("destination", "#/destination/"+to, []string{env.upstream.Status.PodIP, "33"}, nil)
		look("changes", "#/changes?policy="+env.namespace+"/"+policy, []string{policy}, func(p *browser.Page) {
			GinkgoHelper()
			Expect(p.Eventually(`[...document.querySelectorAll("main [title]")].some((e) => e.title.includes("it was created, by "))`)).To(Succeed())
		})
		look("problems", "#/problems?result=all", []string{"agents:"}, nil)
		look("nodes", "#/nodes", []string{cluster.nodes(ctx)[0].Name}, nil)
	}, NodeTimeout(6*time.Minute))

	It("shows calls while they end", func(ctx context.Context) {
		// Until each page has shown one: it may not have been connected to the agents at first.
		defer calling(func() { env.call(ctx, env.caller(), env.url("/dashboard-live")) })()
		look("calls", "#/calls?ns="+env.namespace, []string{"/dashboard-live"}, nil)
	}, NodeTimeout(3*time.Minute))

	It("shows what pods have made up as text", func(ctx context.Context) {
		env.policy(ctx, "dashboard-any", "podSelector: {matchLabels: {app: caller}}\nto: [{any: {}}]\n")
		// A pod that no Service leads to, so that the policy for any destination governs the calls.
		at := env.callers[slices.IndexFunc(env.callers, func(p corev1.Pod) bool { return p.Name != env.caller().Name })].Status.PodIP + ":8080"
		defer calling(func() {
			Expect(env.raw(ctx, env.caller(), at, strings.NewReader(hostileCall))).To(HavePrefix("HTTP/1.1 200 "))
		})()
		// The latest call, with all that is known of it.
		pick := func(p *browser.Page) {
			GinkgoHelper()
			_, err := browser.Value[int](p, `document.querySelector("tr[data-row]").click(), 0`)
			Expect(err).NotTo(HaveOccurred())
			Expect(p.Eventually(`document.querySelector("aside.detail")?.innerText.includes(` + strconv.Quote(hostileName) + `)`)).To(Succeed())
		}
		look("hostile-calls", "#/calls?ns="+env.namespace+"&q="+url.QueryEscape(hostilePath), []string{hostilePath, hostileName}, pick)
		By("not taking hosts that can be none for destinations: they are counted by their addresses")
		look("hostile-overview", "#/overview?ns="+env.namespace, []string{at}, nil)
		look("hostile-destination", "#/destination/"+at, []string{at}, nil)
	}, NodeTimeout(6*time.Minute))
})

// dashboardViews are how the pages are looked at: wide and narrow, light and dark. Narrow ones are high, so that what stands below something else is in sight.
var dashboardViews = []browser.View{{Width: 1280, Height: 900}, {Width: 1280, Height: 900, Dark: true}, {Width: 400, Height: 2400}, {Width: 400, Height: 2400, Dark: true}}

// hostileCall would have a page run a script, were its path, its host or its header fields taken for HTML. Its host is one by RFC 3986.
const (
	hostilePath = `/"><img/src=x/onerror="window.fairleadScriptRan=1;alert(1)"><script>window.fairleadScriptRan=1</script>`
	hostileName = `'onmouseover='fairleadscriptran=1';alert(1)&lt;x.example`
	hostileCall = "GET " + hostilePath + " HTTP/1.1\r\nHost: " + hostileName + "\r\nConnection: close\r\nUser-Agent: " + hostileField + "\r\nX-Request-Id: " + hostileField +
		"\r\nReferer: javascript:" + hostileField + "\r\n\r\n"
	hostileField = "<svg/onload=window.fairleadScriptRan=1>fairlead-hostile-field"
)

// expectSound expects that nothing is wrong with a page: it has run no script but its own, opened no dialog, fits its width, and axe-core finds nothing serious.
func expectSound(p *browser.Page, axe, of string) {
	GinkgoHelper()
	type state struct {
		Ran, Field    bool
		Wide, Visible int
	}
	is, err := browser.Value[state](p, `({Ran: "fairleadScriptRan" in window || "fairleadscriptran" in window, Field: document.documentElement.outerHTML.includes("fairlead-hostile-field"),
		Wide: document.documentElement.scrollWidth, Visible: document.documentElement.clientWidth})`)
	Expect(err).NotTo(HaveOccurred(), of)
	Expect(is.Ran).To(BeFalse(), "%s: what a pod has made up has run as a script", of)
	Expect(is.Field).To(BeFalse(), "%s: a header field is shown", of)
	Expect(is.Wide).To(BeNumerically("<=", is.Visible), "%s: width", of)
	found, err := p.Inaccessible(axe)
	Expect(err).NotTo(HaveOccurred(), of)
	Expect(found).To(BeEmpty(), of)
	Expect(p.Wrong()).To(BeEmpty(), of)
}

// calling calls again and again until the returned function is called.
func calling(call func()) func() {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				call()
			}
		}
	}()
	return func() {
		close(stop)
		<-done
	}
}

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
