package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/liveapi"
)

const tracedPolicy = `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 2, when: [GatewayError], backoff: {strategy: Fixed, initialInterval: 5ms}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`

var _ = Describe("kubectl fairlead for one call, and for who is to help", Ordered, ContinueOnFailure, func() {
	var program string

	BeforeAll(func(_ context.Context) {
		var err error
		program, err = gexec.Build("fairlead.dev/fairlead/cmd/kubectl-fairlead")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(gexec.CleanupBuildArtifacts)
	}, NodeTimeout(8*time.Minute))

	// run runs a command to its end, and returns what it prints, on standard output and on standard error, and its exit status.
	run := func(ctx context.Context, args ...string) (out, notes string, code int) {
		GinkgoHelper()
		c := exec.CommandContext(ctx, program, append(args, "-n", env.namespace)...)
		var prints, says bytes.Buffer
		c.Stdout, c.Stderr = &prints, &says
		err := c.Run()
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) {
			Expect(err).NotTo(HaveOccurred())
		}
		return prints.String(), says.String(), c.ProcessState.ExitCode()
	}

	It("traces the next call that matches, with the reason of each decision", func(ctx context.Context) {
		env.policy(ctx, "traced", tracedPolicy)
		pod := env.caller()
		trace, err := gexec.Start(exec.CommandContext(ctx, program, "trace", pod.Name, "--path", "/trace-next", "--timeout", "2m", "-n", env.namespace), GinkgoWriter, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() int { // calls come before the trace is open, too
			env.call(ctx, pod, env.url("/trace-other"))
			env.call(ctx, pod, env.url("/trace-next?status=503&secret=4711"))
			return trace.ExitCode()
		}).WithContext(ctx).WithTimeout(90 * time.Second).Should(Equal(0))
		text := string(trace.Out.Contents())
		for _, want := range []string{
			env.namespace + "/" + pod.Name, "/trace-next", "policy " + env.namespace + "/traced", "attempt 1 (first)", "503 is among what the policy retries",
			"retry 1 of 2", "attempt 3 (retry)", "no retry: all retries were used (2 of 2 used)", "answer: 503 (exhausted)",
		} {
			Expect(text).To(ContainSubstring(want))
		}
		Expect(text).NotTo(ContainSubstring("4711"), "queries are not shown")
		Expect(text).NotTo(ContainSubstring("/trace-other"))
	}, NodeTimeout(4*time.Minute))

	It("makes a call from a pod, and traces that", func(ctx context.Context) {
		env.policy(ctx, "traced-call", tracedPolicy)
		text, notes, code := run(ctx, "trace", env.caller().Name, "--call", env.url("/trace-made?failFirst=1"), "--raw", "--timeout", "2m")
		Expect(code).To(Equal(0), text+notes)
		var steps []string
		var end *liveapi.Call
		for d := json.NewDecoder(strings.NewReader(text)); ; {
			var l liveapi.TraceLine
			err := d.Decode(&l)
			if errors.Is(err, io.EOF) {
				break
			}
			Expect(err).NotTo(HaveOccurred(), text)
			if l.Step != nil {
				steps = append(steps, l.Step.Step+" "+l.Step.Result)
			}
			if l.End != nil {
				end = l.End
			}
		}
		Expect(steps).To(ContainElements("attempt first", "judged 503", "decision retry", "attempt retry", "judged 200"))
		Expect(end).To(HaveValue(And(HaveField("Watched", true), HaveField("Status", 200), HaveField("Attempts", 2))))
		Expect(env.seen(ctx, "/trace-made").Requests).To(Equal(2), "one call, of two attempts")
	}, NodeTimeout(4*time.Minute))

	It("makes a call over TLS from a pod, and traces its connection", func(ctx context.Context) {
		env.policy(ctx, "traced-tls", `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: kubernetes, namespace: default, port: 443}}]
`)
		Eventually(func(g Gomega) { // once the pod's connections are captured
			text, notes, code := run(ctx, "trace", env.caller().Name, "--call", "https://kubernetes.default.svc/version?trace=tls", "--insecure", "--timeout", "1m")
			g.Expect(code).To(Equal(0), text+notes)
			g.Expect(text).To(And(ContainSubstring("policy "+env.namespace+"/traced-tls"), ContainSubstring("attempt 1 (first)"), ContainSubstring("TCP")))
			g.Expect(notes).To(MatchRegexp(`within the connection the call was answered with (200|401|403) over HTTP/2\.0`))
		}).WithContext(ctx).WithTimeout(2 * time.Minute).Should(Succeed())
		text, notes, code := run(ctx, "trace", env.caller().Name, "--call", "https://kubernetes.default.svc/version?trace=verified", "--plain", "--timeout", "1m")
		Expect(code).To(Equal(0), text+notes)
		Expect(notes).To(ContainSubstring("the call failed within the connection: tls: failed to verify certificate"), "the cluster's CA is not a public one")
	}, NodeTimeout(5*time.Minute))

	// The inventory has what other specs have called in the last hour, too: that is enough or not, by how long they have taken.
	It("makes a policy that is accepted of what was observed, or says that it is too little", func(ctx context.Context) {
		env.policy(ctx, "suggest", tracedPolicy)
		Eventually(func(g Gomega) {
			env.call(ctx, env.caller(), env.url("/suggest"), "-n", "300")
			text, notes, code := run(ctx, "suggest", "caller", "--destination", env.namespace+"/upstream:80", "--sample", "1s")
			if code == 1 {
				g.Expect(notes).To(ContainSubstring("less than 10m0s is one situation"), "there are calls enough")
				g.Expect(text).To(BeEmpty())
				return
			}
			g.Expect(code).To(Equal(0), notes)
			g.Expect(text).To(And(ContainSubstring("kind: RetryPolicy"), ContainSubstring("perTry:"), ContainSubstring("# Not suggested:")))
			g.Expect(env.k.Create(ctx, object(text), client.DryRunAll)).To(Succeed(), text)
		}).WithContext(ctx).WithTimeout(90 * time.Second).WithPolling(5 * time.Second).Should(Succeed())
	}, NodeTimeout(3*time.Minute))

	It("gathers what helps, and no secrets", func(ctx context.Context) {
		env.policy(ctx, "bundled", tracedPolicy)
		to := filepath.Join(GinkgoT().TempDir(), "bundle.tar.gz")
		text, notes, code := run(ctx, "support-bundle", "--file", to)
		Expect(code).To(Equal(0), text+notes)
		f, err := os.Open(to)
		Expect(err).NotTo(HaveOccurred())
		defer f.Close()
		z, err := gzip.NewReader(f)
		Expect(err).NotTo(HaveOccurred())
		var manifest struct {
			Files   []struct{ Name string }
			Missing []struct{ What, Why string }
		}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			Expect(err).NotTo(HaveOccurred())
			of, err := io.ReadAll(r)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(of)).NotTo(ContainSubstring("PRIVATE KEY"), h.Name)
			if strings.HasSuffix(h.Name, "/manifest.json") {
				Expect(json.Unmarshal(of, &manifest)).To(Succeed())
			}
			if strings.HasSuffix(h.Name, "/policies/retrypolicies.yaml") {
				Expect(string(of)).To(ContainSubstring("bundled"))
			}
		}
		var names []string
		for _, of := range manifest.Files {
			names = append(names, of.Name)
		}
		Expect(manifest.Missing).To(BeEmpty(), "an administrator may see all")
		Expect(names).To(ContainElements("versions.json", "doctor.json", "nodes.json", "policies/retrypolicies.yaml", "live/manager/inventory.json", "events/policies.json"))
		for _, pod := range readyPods(env.k.agents(ctx)) {
			Expect(names).To(ContainElements("live/agents/"+pod.Spec.NodeName+"/capture.json", "logs/"+pod.Name+"/agent.log"))
		}
	}, NodeTimeout(4*time.Minute))
})
