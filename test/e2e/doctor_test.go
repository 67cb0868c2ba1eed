package e2e

import (
	"context"
	"encoding/json"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// finding is one of those that doctor prints.
type finding struct{ Group, Result, What, Fix, Docs string }

func (p *plugin) findings(ctx context.Context) (all []finding) {
	GinkgoHelper()
	text, code := p.run(ctx, "doctor", "-o", "json")
	var report struct {
		Findings []finding
		Problems int
	}
	// What is wrong with it makes the command print one line more.
	Expect(json.Unmarshal([]byte(text[:lastBrace(text)]), &report)).To(Succeed(), text)
	problems := 0
	for _, f := range report.Findings {
		if f.Result == "problem" {
			problems++
		}
	}
	Expect(report.Problems).To(Equal(problems), text)
	Expect(code == 1).To(Equal(problems > 0), "exit status %d: %s", code, text)
	return report.Findings
}

func lastBrace(text string) int {
	for i := len(text); i > 0; i-- {
		if text[i-1] == '}' {
			return i
		}
	}
	return 0
}

// found is a finding of a group with a result that says something like a pattern.
func found(group, result, what string) OmegaMatcher {
	return ContainElement(SatisfyAll(HaveField("Group", group), HaveField("Result", result), HaveField("What", MatchRegexp(what))))
}

var _ = Describe("kubectl fairlead doctor", Ordered, ContinueOnFailure, func() {
	var p plugin

	BeforeAll(func(ctx context.Context) { p = newPlugin(ctx) }, NodeTimeout(8*time.Minute))

	It("finds nodes as they are, with the rights of who is on call", func(ctx context.Context) {
		env.policy(ctx, "doctor", pluginPolicy)
		Expect(p.findings(ctx)).To(And(
			found("kernel", "ok", `^nodes? .*: Linux \d+\..* which has all that capturing pods uses$`),
			found("container runtime", "ok", `^nodes? .*: pods are found by asking containerd v?\d+\..* at /run/containerd/containerd\.sock`),
			found("capture", "ok", `^[1-9]\d* pods? (is|are) captured on \d+ nodes?$`),
			found("clocks", "ok", `^\d+ clocks were compared, and none differs`),
			found("certificates", "ok", `^the certificate of the manager's authority is good until`),
			Not(ContainElement(And(HaveField("Result", "unknown"), HaveField("Group", Not(Equal("capture")))))),
		))
	}, NodeTimeout(2*time.Minute))

	It("names the pod whose connection is older than its policy, until that ends", func(ctx context.Context) {
		from := env.caller()
		load := env.load(ctx, from, env.url("/doctor-older?status=503"), 25*time.Second, "-c", "1", "-gap", "100ms")
		Eventually(func() int { return env.seen(ctx, "/doctor-older").Requests }).WithContext(ctx).Should(BeNumerically(">", 0), "the connection is open")
		env.policy(ctx, "doctor-older", pluginPolicy)
		held := `^pod ` + env.namespace + `/` + from.Name + ` has 1 connection to [^ ]+ from before its policy: no policy governs it$`
		Eventually(func() []finding { return p.findings(ctx) }).WithContext(ctx).WithTimeout(15 * time.Second).WithPolling(time.Second).
			Should(found("connections", "warning", held))
		sum := load()
		Expect(env.seen(ctx, "/doctor-older").Requests).To(Equal(sum.Calls), "no call of that connection was repeated, as nothing governs it")
		Eventually(func() []finding { return p.findings(ctx) }).WithContext(ctx).WithTimeout(90 * time.Second).WithPolling(2 * time.Second).
			Should(found("connections", "ok", "no captured pod has connections"))
		Expect(env.call(ctx, from, env.url("/doctor-governed?status=503"), "-n", "1").Statuses).To(Equal(map[int]int{503: 1}))
		Expect(env.seen(ctx, "/doctor-governed").Requests).To(Equal(3), "a new connection is governed")
	}, NodeTimeout(4*time.Minute))

	It("names the pod that does not trust the egress CA, and what to do", func(ctx context.Context) {
		programs := newPrograms(ctx)
		programs.policy(ctx, "doctor-trust", interceptingPolicy("programs", taxHosts[:1], ""))
		_, err := programs.k.exec(ctx, programs.client, nil, "curl", "-sS", "-o", "/dev/null", "--connect-to", taxHTTP1+":443:"+programs.name("nginx-tls")+":443",
			"https://"+taxHTTP1+"/doctor-distrusted?key=doctor-distrusted")
		Expect(err).To(MatchError(ContainSubstring("curl: (60)")), "the client trusts the CA of the host alone")
		Expect(programs.saw(ctx, "doctor-distrusted").Requests).To(BeZero())
		Expect(p.findings(ctx)).To(And(
			ContainElement(SatisfyAll(
				HaveField("Group", "trust"), HaveField("Result", "problem"),
				HaveField("What", Equal("pod "+env.namespace+"/"+programs.client.Name+" ended 1 TLS handshake with "+taxHTTP1+" because it does not trust the egress CA: its calls fail")),
				HaveField("Fix", ContainSubstring("kubectl label namespace "+env.namespace+" policy.fairlead.dev/egress-ca=publish")),
				HaveField("Docs", HaveSuffix("tls.md#trust-in-pods")),
			)),
			found("certificates", "ok", "the egress CA is good until"),
		))
	}, NodeTimeout(4*time.Minute))
})
