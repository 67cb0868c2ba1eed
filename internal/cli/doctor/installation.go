package doctor

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// installation checks that the programs are there, ready, and of one version.
func (k *checker) installation(context.Context) {
	s, err := k.system, k.missing
	switch {
	case apierrors.IsForbidden(err):
		k.unknown(err)
		return
	case err != nil:
		k.add(Problem, remedy{"install fairlead, or say where it is with --fairlead-namespace", pageInstall}, "%v", err)
		return
	}
	logs := "kubectl -n " + k.env.System + " get pods, and kubectl logs of those that are not ready"
	if s.Manager.Whole() {
		k.ok("manager: %s", &s.Manager)
	} else {
		k.add(Problem, remedy{logs, pageManagerAway}, "manager: %s", &s.Manager)
	}
	switch {
	case s.Agents.Whole():
		k.ok("agents: %s", &s.Agents)
	case s.Agents.Ready < s.Agents.Desired:
		k.add(Problem, remedy{logs + ": where no agent is, calls go directly", pageAgentsLost}, "agents: %s", &s.Agents)
	default:
		k.add(Warning, remedy{"wait for the DaemonSet's update to end: kubectl -n " + k.env.System + " rollout status daemonset/fairlead-agent", pageUpgrade}, "agents: %s", &s.Agents)
	}
	k.versions(tag(s.Manager.Image), tag(s.Agents.Image))
	k.features()
}

// versions compares the manager's version with the agents'.
func (k *checker) versions(manager, agents string) {
	switch {
	case manager == "" || agents == "":
		k.add(Unknown, remedy{}, "whether manager and agents are of one version: images that are named without a tag do not say")
	case manager != agents:
		k.add(Warning, remedy{"upgrade both to one version", pageUpgrade}, "the manager is of version %s, the agents are of %s", manager, agents)
	default:
		k.ok("manager and agents are of version %s", manager)
	}
}

// features checks that agents understand all that the manager may send them.
func (k *checker) features() {
	var lacking sets
	for _, n := range k.live.nodes.Items {
		for _, a := range n.Agents {
			if len(a.Missing) > 0 {
				lacking.add(strings.Join(a.Missing, ", "), n.Node)
			}
		}
	}
	for _, missing := range lacking.keys {
		k.add(Warning, remedy{"upgrade the agents: what they do not know is left out of policies there", pageUpgrade},
			"%s: the agent is older than the manager, and does not know %s", onNodes(lacking.of[missing]), missing)
	}
}

// tag is the tag of an image; empty: it has none. Digests say nothing of versions: those of two programs always differ.
func tag(image string) string {
	name, _, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], "@")
	_, version, _ := strings.Cut(name, ":")
	return version
}
