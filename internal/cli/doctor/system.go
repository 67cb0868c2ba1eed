package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// installation checks that the programs are there, ready, and of one version.
func (k *checker) installation(ctx context.Context) {
	s, err := k.env.Components(ctx, k.c)
	switch {
	case apierrors.IsForbidden(err):
		k.unknown(err)
		return
	case err != nil:
		k.add(Problem, "install fairlead, or say where it is with --fairlead-namespace", "%v", err)
		return
	}
	logs := "kubectl -n " + k.env.System + " get pods, and kubectl logs of those that are not ready"
	if s.Manager.Whole() {
		k.add(OK, "", "manager: %s", &s.Manager)
	} else {
		k.add(Problem, logs, "manager: %s", &s.Manager)
	}
	switch {
	case s.Agents.Whole():
		k.add(OK, "", "agents: %s", &s.Agents)
	case s.Agents.Ready < s.Agents.Desired:
		k.add(Problem, logs+": where no agent is, calls go directly", "agents: %s", &s.Agents)
	default:
		k.add(Warning, "wait for the DaemonSet's update to end", "agents: %s", &s.Agents)
	}
	if m, a := tag(s.Manager.Image), tag(s.Agents.Image); m != a {
		k.add(Warning, "upgrade both to one version", "the manager is of version %s, the agents are of %s", m, a)
	} else {
		k.add(OK, "", "manager and agents are of version %s", m)
	}
}

// tag is what follows the name of an image.
func tag(image string) string {
	name := image[strings.LastIndexByte(image, '/')+1:]
	if _, digest, ok := strings.Cut(name, "@"); ok {
		return digest
	}
	_, version, _ := strings.Cut(name, ":")
	return version
}

// clockSkew is by how much a node's clock may differ before it is worth a word: deadlines of annotations and certificates go by clocks.
const clockSkew = time.Minute

// nodes checks that each agent that there is is ready (whether there are as many as there should be is up to installation), and that the nodes' clocks agree with the one here, by when kubelets renewed their leases.
func (k *checker) nodes(ctx context.Context) {
	pods, err := k.env.AgentPods(ctx, k.c)
	if err != nil {
		k.unknown(err)
		return
	}
	unready := 0
	for i := range pods {
		p := &pods[i]
		if why := notReady(p); why != "" && p.DeletionTimestamp == nil {
			unready++
			k.add(Problem, fmt.Sprintf("kubectl -n %s logs %s, and kubectl -n %s describe pod %s", p.Namespace, p.Name, p.Namespace, p.Name), "node %s: the agent %s", p.Spec.NodeName, why)
		}
	}
	if unready == 0 {
		k.add(OK, "", "%s ready", output.Count(len(pods), "agent is", "agents are"))
	}
	k.clocks(ctx)
}

func notReady(p *corev1.Pod) string {
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "" {
			return "waits: " + w.Reason
		}
		if t := c.LastTerminationState.Terminated; t != nil && !c.Ready {
			return "has ended: " + t.Reason
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return ""
		}
	}
	return "is not ready"
}

func (k *checker) clocks(ctx context.Context) {
	var leases coordinationv1.LeaseList
	if err := k.c.List(ctx, &leases, client.InNamespace("kube-node-lease")); err != nil {
		k.unknown(kube.Explain(err, "compare the nodes' clocks: list leases in kube-node-lease"))
		return
	}
	ahead := 0
	for i := range leases.Items {
		renewed := leases.Items[i].Spec.RenewTime
		if renewed == nil {
			continue
		}
		if by := renewed.Sub(k.env.Now()); by > clockSkew {
			ahead++
			k.add(Warning, "have chrony or systemd-timesyncd keep the time there, or here", "node %s: its clock is %s ahead of the one here", leases.Items[i].Name, by.Round(time.Second))
		}
	}
	if ahead == 0 && len(leases.Items) > 0 {
		k.add(OK, "", "no node's clock is ahead of the one here")
	}
}

// caName is the ConfigMap in which the manager publishes what agents trust.
const caName = "fairlead-ca"

// expirySoon is how long before the end of the authority's certificate it should have been renewed.
const expirySoon = 7 * 24 * time.Hour

func (k *checker) certificates(ctx context.Context) {
	var m corev1.ConfigMap
	err := k.c.Get(ctx, client.ObjectKey{Namespace: k.env.System, Name: caName}, &m)
	switch {
	case apierrors.IsNotFound(err):
		k.add(Problem, "see whether a manager runs: it writes it when it first starts", "there is no ConfigMap %s, which agents need to start", caName)
		return
	case err != nil:
		k.unknown(kube.Explain(err, "read ConfigMap "+caName))
		return
	}
	var last time.Time
	for rest := []byte(m.Data["ca.crt"]); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.NotAfter.After(last) {
			last = cert.NotAfter
		}
	}
	const fix = "see the manager's log for why the authority is not renewed"
	switch left := last.Sub(k.env.Now()); {
	case last.IsZero():
		k.add(Problem, "delete it, and the manager writes it anew", "ConfigMap %s holds no certificate", caName)
	case left <= 0:
		k.add(Problem, fix, "the certificate of the manager's authority has expired at %s", last.UTC().Format(time.RFC3339))
	case left < expirySoon:
		k.add(Warning, fix, "the certificate of the manager's authority expires at %s", last.UTC().Format(time.RFC3339))
	default:
		k.add(OK, "", "the certificate of the manager's authority is good until %s", last.UTC().Format(time.RFC3339))
	}
}
