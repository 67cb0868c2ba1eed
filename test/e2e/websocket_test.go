package e2e

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = Describe("a websocket", Ordered, ContinueOnFailure, func() {
	var p *programs

	BeforeAll(func(ctx context.Context) {
		p = newPrograms(ctx)
		p.compile(ctx, "Chat")
		p.policy(ctx, "chat", `
podSelector: {matchLabels: {app: programs}}
to: [{service: {name: nginx, port: 80}}]
retry: {maxRetries: 2}
rules:
- {name: idle, match: [{path: {value: /idle}}], timeouts: {idle: 1s}}
`)
		p.known(ctx, "nginx", 1)
	}, NodeTimeout(4*time.Minute))

	chat := func(ctx context.Context, path string) *conversation {
		return p.k.converse(ctx, p.client, "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", "/scratch/classes", "Chat",
			"ws://"+p.name("nginx")+path)
	}

	It("lives as long as its ends want, also while the agent ends", func(ctx context.Context) {
		c := chat(ctx, "/chat")
		Eventually(c.out).WithContext(ctx).Should(gbytes.Say("open\n"))
		c.say("before")
		Eventually(c.out).WithContext(ctx).Should(gbytes.Say("received before\n"))

		old := p.k.agentOn(ctx, p.client.Spec.NodeName)
		Expect(p.k.Delete(ctx, old)).To(Succeed())
		Eventually(func() []corev1.Pod { return readyPods(p.k.agents(ctx)) }).WithContext(ctx).Should(HaveLen(len(p.callers)-1), "the agent is ending")
		for i := range 3 {
			c.say(fmt.Sprintf("message %d", i))
			Eventually(c.out).WithContext(ctx).Should(gbytes.Say(fmt.Sprintf("received message %d\n", i)))
		}
		Expect(p.k.Get(ctx, client.ObjectKeyFromObject(old), old)).To(Succeed(), "the agent waits for the websocket")
		Expect(old.DeletionTimestamp).NotTo(BeNil())

		c.end()
		Eventually(c.out).WithContext(ctx).Should(gbytes.Say("closed\n"))
		Eventually(func() bool {
			for _, a := range readyPods(p.k.agents(ctx)) {
				if a.Spec.NodeName == old.Spec.NodeName && a.UID != old.UID {
					return true
				}
			}
			return false
		}).WithContext(ctx).WithTimeout(time.Minute).Should(BeTrue(), "with the websocket the agent has ended, and another one is there")
		Eventually(func() int {
			p.run(ctx, append(slices.Clone(curlCommand), "http://"+p.name("nginx")+"/again")...)
			return p.tries(ctx, "chat")
		}).WithContext(ctx).Should(BeNumerically(">", 0), "calls are governed again")
	}, NodeTimeout(3*time.Minute))

	It("ends when nobody has said anything for as long as written", func(ctx context.Context) {
		c := chat(ctx, "/idle")
		Eventually(c.out).WithContext(ctx).Should(gbytes.Say("open\n"))
		c.say("hello")
		Eventually(c.out).WithContext(ctx).Should(gbytes.Say("received hello\n"))
		Eventually(c.out).WithContext(ctx).Should(gbytes.Say("lost\n"))
	}, NodeTimeout(time.Minute))
})

// conversation is a program in a pod that reads lines and prints lines.
type conversation struct {
	in  io.WriteCloser
	out *gbytes.Buffer
}

// converse starts a program in a pod. It ends with its input, and with the spec at the latest.
func (k *kube) converse(ctx context.Context, pod *corev1.Pod, args ...string) *conversation {
	GinkgoHelper()
	ex, err := k.executor(pod, true, args)
	Expect(err).NotTo(HaveOccurred())
	in, w := io.Pipe()
	c := &conversation{in: w, out: gbytes.NewBuffer()}
	done := make(chan error, 1)
	go func() {
		done <- ex.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: c.out, Stderr: GinkgoWriter})
		in.Close()
	}()
	DeferCleanup(func() {
		c.end()
		<-done
	})
	return c
}

func (c *conversation) say(line string) {
	GinkgoHelper()
	_, err := io.WriteString(c.in, line+"\n")
	Expect(err).NotTo(HaveOccurred())
}

func (c *conversation) end() { _ = c.in.Close() }
