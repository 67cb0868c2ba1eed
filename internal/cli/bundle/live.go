package bundle

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/liveapi"
)

// limits bound what is asked of pods.
type limits struct {
	agents int
	lines  int64
}

const (
	// eachRequest bounds how long one answer or log is waited for: a pod that hangs leaves time for the others.
	eachRequest = 10 * time.Second
	// atOnce bounds how many are waited for at a time.
	atOnce = 16
)

// asked is an answer of the live API.
type asked struct {
	file, from string
	ask        func() (any, error)
	answer     any
	err        error
}

// live gathers what the manager and the agents answer.
func (g *gatherer) live(ctx context.Context, a *ask.Asker) {
	all := ofManager(ctx, a)
	agents, err := a.AgentsOn(ctx, "")
	if err != nil {
		g.miss("live/agents", err)
	}
	if len(agents) > g.limits.agents {
		g.miss("live/agents and logs of further nodes", fmt.Errorf("there are %d agents, and %d are asked: see --agents", len(agents), g.limits.agents))
		agents = agents[:g.limits.agents]
	}
	for i := range agents {
		g.redact.node(agents[i].Spec.NodeName)
		all = append(all, ofAgent(ctx, a, agents[i:i+1])...)
	}
	slices.SortFunc(all, func(a, b asked) int { return strings.Compare(a.file, b.file) })
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range all {
		group.Go(func() error {
			all[i].answer, all[i].err = all[i].ask()
			return nil
		})
	}
	_ = group.Wait() // nobody returns an error
	for i := range all {
		g.addValue(all[i].file, all[i].from, all[i].answer, all[i].err)
	}
}

func ofManager(ctx context.Context, a *ask.Asker) (all []asked) {
	for name, path := range map[string]string{
		"inventory": liveapi.InventoryPath, "traffic": liveapi.TrafficPath, "nodes": liveapi.NodesPath, "changes": liveapi.ChangesPath, "manager": liveapi.ManagerPath,
	} {
		query := url.Values{}
		if name == "inventory" || name == "changes" {
			query.Set("since", "1h")
		}
		all = append(all, asked{file: "live/manager/" + name + ".json", from: "the manager that leads", ask: func() (v any, err error) {
			err = a.Manager(ctx, path, query, &v)
			return v, err
		}})
	}
	return all
}

// ofAgent is what one agent is asked.
func ofAgent(ctx context.Context, a *ask.Asker, agent []corev1.Pod) (all []asked) {
	for name, path := range map[string]string{
		"policies": liveapi.PoliciesPath, "breakers": liveapi.BreakersPath, "endpoints": liveapi.EndpointsPath, "limits": liveapi.LimitsPath,
		"capture": liveapi.CapturePath, "node": liveapi.NodePath,
	} {
		all = append(all, asked{file: "live/agents/" + agent[0].Spec.NodeName + "/" + name + ".json", from: "pod " + agent[0].Name, ask: func() (any, error) {
			answers, failed := ask.Agents[any](ctx, a, agent, path, nil)
			if len(answers) == 0 {
				return nil, errors.Join(failed...)
			}
			return answers[0], nil
		}})
	}
	return all
}
