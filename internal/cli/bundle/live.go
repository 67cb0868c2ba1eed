package bundle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/liveapi"
)

// limits bound what is asked of pods.
type limits struct {
	agents int
	lines  int64
}

// maxLog bounds one log, in bytes.
const maxLog = 1 << 20

// Logs reads the log of a container; previous is that of the one before it was restarted.
type Logs func(ctx context.Context, pod *corev1.Pod, o *corev1.PodLogOptions) (io.ReadCloser, error)

// live gathers what the manager and the agents answer.
func (g *gatherer) live(ctx context.Context, a *ask.Asker) {
	for name, path := range map[string]string{
		"inventory": liveapi.InventoryPath, "traffic": liveapi.TrafficPath, "nodes": liveapi.NodesPath, "changes": liveapi.ChangesPath,
	} {
		query := url.Values{}
		if name == "inventory" || name == "changes" {
			query.Set("since", "1h")
		}
		var v any
		err := a.Manager(ctx, path, query, &v)
		g.hostsIn(v)
		g.addValue("live/manager/"+name+".json", "the manager that leads", v, err)
	}
	agents, err := a.AgentsOn(ctx, "")
	if err != nil {
		g.miss("live/agents", err)
		return
	}
	if len(agents) > g.limits.agents {
		g.miss("live/agents and logs of further nodes", fmt.Errorf("there are %d agents, and %d are asked: see --agents and --node", len(agents), g.limits.agents))
		agents = agents[:g.limits.agents]
	}
	for name, path := range map[string]string{
		"policies": liveapi.PoliciesPath, "breakers": liveapi.BreakersPath, "endpoints": liveapi.EndpointsPath, "capture": liveapi.CapturePath,
	} {
		for i := range agents {
			g.redact.node(agents[i].Spec.NodeName)
			answers, failed := ask.Agents[any](ctx, a, agents[i:i+1], path, nil)
			file := "live/agents/" + agents[i].Spec.NodeName + "/" + name + ".json"
			if len(answers) == 0 {
				g.miss(file, errors.Join(failed...))
				continue
			}
			g.hostsIn(answers[0])
			g.addValue(file, "pod "+agents[i].Name, answers[0], nil)
		}
	}
}

// logs gathers the logs of managers and of as many agents as are asked.
func (g *gatherer) logs(ctx context.Context, read Logs) {
	managers, err := g.env.ManagerPods(ctx, g.client)
	if err != nil {
		g.miss("logs", err)
		return
	}
	agents, err := g.env.AgentPods(ctx, g.client)
	if err != nil {
		g.miss("logs of agents", err)
	}
	pods := slices.Concat(managers, agents[:min(len(agents), g.limits.agents)])
	for i := range pods {
		for _, c := range pods[i].Status.ContainerStatuses {
			g.log(ctx, read, &pods[i], &corev1.PodLogOptions{Container: c.Name})
			if c.RestartCount > 0 {
				g.log(ctx, read, &pods[i], &corev1.PodLogOptions{Container: c.Name, Previous: true})
			}
		}
	}
}

func (g *gatherer) log(ctx context.Context, read Logs, p *corev1.Pod, o *corev1.PodLogOptions) {
	name := "logs/" + p.Name + "/" + o.Container
	if o.Previous {
		name += ".previous"
	}
	name += ".log"
	lines, most := g.limits.lines, int64(maxLog)
	o.TailLines, o.LimitBytes, o.Timestamps = &lines, &most, true
	from, err := read(ctx, p, o)
	if err != nil {
		g.miss(name, err)
		return
	}
	defer from.Close()
	text, err := io.ReadAll(io.LimitReader(from, maxLog))
	if err != nil {
		g.miss(name, err)
		return
	}
	g.add(name, "pod "+p.Name, g.withoutPaths(text))
}

// withoutPaths removes the paths of calls from the lines of an access log, which may say whose calls they are, and makes their hosts known.
func (g *gatherer) withoutPaths(text []byte) []byte {
	var out bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxLog+1)
	for lines.Scan() {
		line := lines.Text()
		stamp, rest, _ := strings.Cut(line, " ")
		var v map[string]any
		if json.Unmarshal([]byte(rest), &v) == nil {
			g.hostsIn(v)
			if _, ok := v["path"]; ok {
				v["path"] = removed
				if again, err := json.Marshal(v); err == nil {
					line = stamp + " " + string(again)
				}
			}
		}
		out.WriteString(line + "\n")
	}
	return out.Bytes()
}
