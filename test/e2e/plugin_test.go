package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/screen/screentest"
	"fairlead.dev/fairlead/internal/liveapi"
)

// pluginRights are those of an engineer on call, by the roles that docs/reference/cli.md names: view of the cluster, edit of one namespace, and the Roles of
// fairlead's own namespace.
const pluginRights = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: on-call, namespace: NS}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NS-view}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: on-call, namespace: NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: on-call, namespace: NS}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: on-call, namespace: NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: NS-view, namespace: fairlead-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: fairlead-system-view}
subjects: [{kind: ServiceAccount, name: on-call, namespace: NS}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: NS-live, namespace: fairlead-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: fairlead-live}
subjects: [{kind: ServiceAccount, name: on-call, namespace: NS}]
`

const pluginPolicy = `
podSelector: {matchLabels: {app: caller}}
to: [{service: {name: upstream, port: 80}}]
retry: {maxRetries: 2, when: [GatewayError], backoff: {strategy: Fixed, initialInterval: 5ms}, budget: {percent: 100, minRetriesPerSecond: 1000, window: 10s}}
`

// plugin is the built kubectl fairlead, run with the rights of pluginRights.
type plugin struct{ program string }

// newPlugin builds it, and gives its rights to who runs it until the stories end.
func newPlugin(ctx context.Context) plugin {
	GinkgoHelper()
	program, err := gexec.Build("fairlead.dev/fairlead/cmd/kubectl-fairlead")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(gexec.CleanupBuildArtifacts)
	env.applyAll(ctx, pluginRights)
	DeferCleanup(func(ctx context.Context) {
		u := object("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: " + env.namespace + "-view}")
		_ = env.k.Delete(ctx, u)
		for _, name := range []string{"-view", "-live"} {
			u := object("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: " + env.namespace + name + ", namespace: fairlead-system}")
			_ = env.k.Delete(ctx, u)
		}
	})
	return plugin{program}
}

func (p *plugin) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, p.program, append(args, "--as", "system:serviceaccount:"+env.namespace+":on-call")...)
}

// run runs a command to its end, and returns what it prints and its exit status.
func (p *plugin) run(ctx context.Context, args ...string) (string, int) {
	GinkgoHelper()
	return output(p.command(ctx, args...))
}

func output(c *exec.Cmd) (string, int) {
	GinkgoHelper()
	text, err := c.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		Expect(err).NotTo(HaveOccurred())
	}
	return string(text), c.ProcessState.ExitCode()
}

// must runs a command that is to succeed.
func (p *plugin) must(ctx context.Context, args ...string) string {
	GinkgoHelper()
	text, code := p.run(ctx, args...)
	Expect(code).To(Equal(0), "%s: %s", strings.Join(args, " "), text)
	return text
}

var _ = Describe("kubectl fairlead", Ordered, ContinueOnFailure, func() {
	var p plugin

	BeforeAll(func(ctx context.Context) { p = newPlugin(ctx) }, NodeTimeout(8*time.Minute))

	It("says what is in force, and what a change would alter", func(ctx context.Context) {
		env.policy(ctx, "plugin", pluginPolicy)
		Expect(p.must(ctx, "status", "-n", env.namespace)).To(And(ContainSubstring("Manager:"), ContainSubstring("Policies:  1 of 1 ready")))
		Expect(p.must(ctx, "describe", "plugin", "-n", env.namespace)).To(And(
			ContainSubstring("In force for service "+env.namespace+"/upstream:80"), MatchRegexp(`retry\.maxRetries +2 +RetryPolicy %s/plugin`, env.namespace)))
		Expect(p.must(ctx, "explain", env.caller().Name, env.url("/plugin-explain"), "-n", env.namespace)).To(And(
			ContainSubstring("fits, and governs the call"), ContainSubstring("Up to 3 attempts are made")))
		Expect(p.must(ctx, "version")).To(And(ContainSubstring("Client:"), ContainSubstring("Manager:")))
		checks, _ := p.run(ctx, "doctor") // whether all is well is not this story's
		Expect(checks).To(And(ContainSubstring("manager: "), ContainSubstring("the certificate of the manager's authority is good until"), ContainSubstring("clocks were compared")))

		change := filepath.Join(GinkgoT().TempDir(), "change.yaml")
		text := "apiVersion: policy.fairlead.dev/v1alpha1\nkind: RetryPolicy\nmetadata: {name: plugin, namespace: " + env.namespace + "}\nspec:\n" +
			indent(strings.Replace(pluginPolicy, "maxRetries: 2", "maxRetries: 7", 1))
		Expect(os.WriteFile(change, []byte(text), 0o600)).To(Succeed())
		altered, code := p.run(ctx, "diff", "-f", change)
		Expect(code).To(Equal(1), altered)
		Expect(altered).To(MatchRegexp(`retry\.maxRetries +2 +7 +RetryPolicy %s/plugin`, env.namespace))
		Expect(os.WriteFile(change, []byte(strings.Replace(text, "maxRetries: 7", "maxRetries: 11", 1)), 0o600)).To(Succeed())
		refused, code := p.run(ctx, "diff", "-f", change)
		Expect(code).To(Equal(2), refused)
		Expect(refused).To(ContainSubstring("should be less than or equal to 10"))
	}, NodeTimeout(2*time.Minute))

	It("shows calls with each of their attempts: those that the upstream sees", func(ctx context.Context) {
		env.policy(ctx, "plugin", pluginPolicy)
		c := p.command(ctx, "tap", env.caller().Name, "-n", env.namespace, "-o", "json", "--for", "1m", "--rate", "1000")
		tap, err := gexec.Start(c, nil, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() []byte { // the tap is there once it shows a call
			env.call(ctx, env.caller(), env.url("/plugin-first"), "-n", "1")
			return tap.Out.Contents()
		}).WithContext(ctx).WithTimeout(30 * time.Second).WithPolling(500 * time.Millisecond).Should(ContainSubstring("/plugin-first"))
		env.call(ctx, env.caller(), env.url("/plugin-tapped?status=503"), "-n", "5")
		Eventually(func() int { return len(tapped(tap.Out, "/plugin-tapped")) }).WithContext(ctx).Should(Equal(5))
		attempts := 0
		for _, call := range tapped(tap.Out, "/plugin-tapped") {
			Expect(call.Status).To(Equal(503))
			Expect(call.Tried).To(HaveLen(3))
			for _, t := range call.Tried {
				Expect(t.Result).To(Equal("503"))
				Expect(t.Endpoint.Addr().String()).To(Equal(env.upstream.Status.PodIP))
			}
			attempts += len(call.Tried)
		}
		Expect(env.seen(ctx, "/plugin-tapped").Requests).To(Equal(attempts), "what the upstream has seen")
		tap.Terminate().Wait(10 * time.Second)
		Expect(tap.ExitCode()).To(Equal(0), "it ends as it was asked to")

		Expect(p.must(ctx, "endpoints", env.namespace+"/plugin")).To(And(
			ContainSubstring(env.namespace+"/upstream:80"), ContainSubstring(env.upstream.Status.PodIP+":8080")))
		Eventually(func() string { return p.must(ctx, "top", "-n", env.namespace, "--since", "5m") }).
			WithContext(ctx).WithTimeout(time.Minute).WithPolling(2 * time.Second).Should(MatchRegexp(`caller +%s/upstream:80 +HTTP`, env.namespace))
	}, NodeTimeout(3*time.Minute))

	It("goes on showing calls when the agent of a node is replaced", func(ctx context.Context) {
		env.policy(ctx, "plugin", pluginPolicy)
		caller := env.caller()
		tap, err := gexec.Start(p.command(ctx, "tap", "-n", env.namespace, "-o", "json", "--rate", "1000"), nil, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		shows := func(path string) {
			Eventually(func() []byte { // the tap is there once it shows a call
				env.call(ctx, caller, env.url(path), "-n", "1")
				return tap.Out.Contents()
			}).WithContext(ctx).WithTimeout(90 * time.Second).WithPolling(500 * time.Millisecond).Should(ContainSubstring(path))
		}
		shows("/plugin-before")
		agent := cluster.agentOn(ctx, caller.Spec.NodeName)
		Expect(cluster.Delete(ctx, agent, client.GracePeriodSeconds(0))).To(Succeed())
		Eventually(func() bool {
			return slices.ContainsFunc(readyPods(cluster.agents(ctx)), func(p corev1.Pod) bool { return p.Spec.NodeName == caller.Spec.NodeName && p.UID != agent.UID })
		}).WithContext(ctx).WithTimeout(time.Minute).Should(BeTrue())
		env.programmed(ctx, "plugin")
		shows("/plugin-after")
		env.call(ctx, caller, env.url("/plugin-replaced"), "-n", "5")
		Eventually(func() int { return len(tapped(tap.Out, "/plugin-replaced")) }).WithContext(ctx).Should(Equal(5))
		Expect(env.seen(ctx, "/plugin-replaced").Requests).To(Equal(5), "what the upstream has seen")
		tap.Terminate().Wait(10 * time.Second)
		Expect(tap.ExitCode()).To(Equal(0), "it ends as it was asked to")
	}, NodeTimeout(4*time.Minute))

	It("keeps circuit breakers open and closed for a time", func(ctx context.Context) {
		env.policy(ctx, "plugin", pluginPolicy+"circuitBreaker: {consecutiveFailures: 3, open: {duration: 1m}}\n")
		reasons := func(path string) func() map[string]int {
			return func() map[string]int { return env.call(ctx, env.caller(), path, "-n", "1").Reasons }
		}
		Expect(p.must(ctx, "breakers", "open", "plugin", "-n", env.namespace, "--for", "10m")).To(ContainSubstring("kept open until"))
		Eventually(reasons(env.url("/plugin-open"))).WithContext(ctx).WithTimeout(20 * time.Second).Should(HaveKey("circuit_open"))
		reached := env.seen(ctx, "/plugin-open").Requests
		Expect(env.call(ctx, env.caller(), env.url("/plugin-open"), "-n", "20").Reasons).To(Equal(map[string]int{"circuit_open": 20}))
		Expect(env.seen(ctx, "/plugin-open").Requests).To(Equal(reached), "the upstream sees nothing")
		Eventually(func() string { return p.must(ctx, "breakers", "-n", env.namespace) }).
			WithContext(ctx).WithTimeout(30 * time.Second).Should(MatchRegexp(`plugin .*open until`))
		Expect(p.must(ctx, "breakers", "-n", env.namespace, "-o", "name")).To(Equal("retrypolicy.policy.fairlead.dev/plugin\n"))

		Expect(p.must(ctx, "breakers", "close", "plugin", "-n", env.namespace, "--for", "10m")).To(ContainSubstring("kept closed until"))
		Eventually(func() int { return env.call(ctx, env.caller(), env.url("/plugin-closed"), "-n", "1").OK }).
			WithContext(ctx).WithTimeout(20 * time.Second).Should(Equal(1))
		Expect(env.call(ctx, env.caller(), env.url("/plugin-failing?status=500"), "-n", "20").Statuses).To(Equal(map[int]int{500: 20}))
		Expect(env.seen(ctx, "/plugin-failing").Requests).To(Equal(20), "the upstream sees all, though three failures would open it")

		p.must(ctx, "breakers", "reset", "plugin", "-n", env.namespace)
		Eventually(func() map[string]int {
			return env.call(ctx, env.caller(), env.url("/plugin-reset?status=500"), "-n", "5").Reasons
		}).WithContext(ctx).WithTimeout(30 * time.Second).Should(HaveKey("circuit_open"))
	}, NodeTimeout(3*time.Minute))

	It("draws on a terminal", func(ctx context.Context) {
		env.policy(ctx, "plugin", pluginPolicy)
		load := env.load(ctx, env.caller(), env.url("/plugin-drawn"), 20*time.Second, "-c", "1")
		for _, command := range []string{"tap", "top"} {
			terminal := screentest.New(GinkgoTB(), 160, 24)
			// Calls of stories before may be shown too, unless a policy is named.
			c := p.command(ctx, command, "-n", env.namespace, "--policy", env.namespace+"/plugin")
			c.Stdin, c.Stdout, c.Stderr = terminal.TTY, terminal.TTY, terminal.TTY
			Expect(c.Start()).To(Succeed())
			Expect(terminal.Await("upstream")).To(ContainSubstring("fairlead " + command))
			terminal.Type("\r")
			terminal.Await(env.namespace + "/plugin")
			terminal.Type("q")
			Expect(c.Wait()).To(Succeed())
			Expect(terminal.Until("is as before", func(_ string, apart bool) bool { return !apart })).NotTo(ContainSubstring("upstream"))
		}
		load()
	}, NodeTimeout(2*time.Minute))

	It("is a plugin of kubectl", func(ctx context.Context) {
		kubectl, err := exec.LookPath(kubectlName())
		if err != nil {
			if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
				Fail("there is no kubectl, and nothing may be skipped")
			}
			Skip("NOT RUN: there is no kubectl")
		}
		c := exec.CommandContext(ctx, kubectl, "fairlead", "status", "-n", env.namespace)
		c.Env = append(os.Environ(), "PATH="+filepath.Dir(p.program)+string(os.PathListSeparator)+os.Getenv("PATH"))
		text, code := output(c)
		Expect(code).To(Equal(0), text)
		Expect(text).To(ContainSubstring("Agents:"))
	}, NodeTimeout(time.Minute))
})

// kubectlName is that of the local cluster, or the machine's.
func kubectlName() string {
	if name := os.Getenv("KUBECTL"); name != "" {
		return name
	}
	return "kubectl"
}

// tapped are the calls of a path that a tap has shown.
func tapped(out *gbytes.Buffer, path string) (calls []*liveapi.Call) {
	GinkgoHelper()
	for _, text := range strings.Split(string(out.Contents()), "\n") {
		var l liveapi.TapLine
		if json.Unmarshal([]byte(text), &l) == nil && l.Call != nil && l.Call.Path == path { // the last line may not be whole yet
			calls = append(calls, l.Call)
		}
	}
	return calls
}
