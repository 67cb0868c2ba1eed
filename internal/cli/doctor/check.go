package doctor

import (
	"cmp"
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// Options say which cluster is checked, and with whose rights.
type Options struct {
	Env    *kube.Env
	Client client.Reader
	// Ask asks manager and agents; it should wait for an answer for a limited time.
	Ask *ask.Asker
	// Agents is how many of them are asked at most; 0: 1000. Each is a connection through the API server.
	Agents int
	// Docs is the address of the docs that findings lead to; empty: what the manager's Deployment says (kube.DocsAnnotation), or else https://fairlead.dev/docs.
	Docs string
}

// Check makes all checks. Those that the API server, the manager or the agents refuse end as Unknown: the others still say something.
func Check(ctx context.Context, o Options) *Report {
	r := &Report{Findings: []Finding{}}
	k := checker{Report: r, env: o.Env, c: o.Client, ask: o.Ask, most: cmp.Or(o.Agents, mostAgents)}
	k.system, k.missing = o.Env.Components(ctx, o.Client)
	if r.docs = o.Docs; r.docs == "" && k.system != nil && checkDocs(k.system.Docs) == nil {
		r.docs = k.system.Docs
	}
	k.gather(ctx)
	for _, g := range []struct {
		name  string
		check func(context.Context)
	}{
		{"installation", k.installation}, {"nodes", k.nodes}, {"kernel", k.kernel}, {"container runtime", k.runtime}, {"capture", k.capture},
		{"connections", k.connections}, {"clocks", k.clocks}, {"certificates", k.certificates}, {"trust", k.trust}, {"policies", k.policies},
	} {
		r.group = g.name
		g.check(ctx)
	}
	return r
}

type checker struct {
	*Report
	env *kube.Env
	c   client.Reader
	ask *ask.Asker
	// system is what of fairlead is in the cluster; nil: missing says why not.
	system  *kube.Components
	missing error
	live    live
	most    int // agents to ask
	// olderKnown: every agent has said which connections of its pods are older than policies.
	olderKnown bool
}

// logs is how to read an agent's log.
func (k *checker) logs(agent string) string { return "kubectl -n " + k.env.System + " logs " + agent }
