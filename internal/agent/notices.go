package agent

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// notices are what there is to know of captured pods.
func (a *Agent) notices(now time.Time) []policy.CaptureProblem {
	held := a.client.Snapshot()
	pods := held.Workloads
	out := append(untrusting(a.routes.Distrusts(now), pods), unissued(a.routes.Unissued(now), pods)...)
	if a.spans == nil {
		out = append(out, untraced(held)...)
	}
	return append(out, a.capture.Notices()...)
}

// untrusting makes a notice for each policy whose TLS pods of the node do not trust: it names the pod that has shown it most often.
func untrusting(all []routes.Distrust, pods map[string]*policy.Workload) []policy.CaptureProblem {
	byPolicy := map[policy.ID][]routes.Distrust{}
	for _, d := range all {
		for _, id := range d.Policies {
			if pods[d.Pod] != nil {
				byPolicy[id] = append(byPolicy[id], d)
			}
		}
	}
	var out []policy.CaptureProblem
	for id, list := range byPolicy {
		most := slices.MaxFunc(list, func(a, b routes.Distrust) int {
			return cmp.Or(cmp.Compare(a.Ended, b.Ended), cmp.Compare(b.Pod, a.Pod))
		})
		w := pods[most.Pod]
		out = append(out, policy.CaptureProblem{
			Namespace: w.Namespace, Pod: w.Name, Policies: []policy.ID{id}, Reason: policy.NoticeTLSNotTrusted, Message: distrustMessage(most),
		})
	}
	sortNotices(out)
	return out
}

func distrustMessage(d routes.Distrust) string {
	s := fmt.Sprintf("it ended %s to %s since it does not trust the egress CA", handshakes(d.Ended), d.Host)
	if d.Spared {
		s += "; its connections are passed through"
	}
	return s
}

// handshakes counts in steps, from ten on: what is said in a status should not change with every connection.
func handshakes(n int) string {
	switch {
	case n == 1:
		return "1 TLS handshake"
	case n <= 10:
		return fmt.Sprintf("%d TLS handshakes", n)
	}
	step := 10
	for next := [3]int{20, 50, 100}; ; {
		for i, at := range next {
			if n <= at {
				return fmt.Sprintf("more than %d TLS handshakes", step)
			}
			step, next[i] = at, at*10
		}
	}
}

// unissued makes a notice for each policy whose TLS the node cannot intercept, naming one pod.
func unissued(of map[string][]policy.ID, pods map[string]*policy.Workload) []policy.CaptureProblem {
	return onePodEach(of, pods, policy.NoticeTLSNoIssuer, "the node has no issuer of certificates, so TLS is passed through")
}

// onePodEach makes a notice for each policy that concerns some pods, given by their UIDs, naming the first pod by its name.
func onePodEach(of map[string][]policy.ID, pods map[string]*policy.Workload, reason, message string) []policy.CaptureProblem {
	named := map[policy.ID]*policy.Workload{}
	for uid, ids := range of {
		w := pods[uid]
		for _, id := range ids {
			if w != nil && (named[id] == nil || byName(w, named[id]) < 0) {
				named[id] = w
			}
		}
	}
	var out []policy.CaptureProblem
	for id, w := range named {
		out = append(out, policy.CaptureProblem{Namespace: w.Namespace, Pod: w.Name, Policies: []policy.ID{id}, Reason: reason, Message: message})
	}
	sortNotices(out)
	return out
}

func byName(a, b *policy.Workload) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func sortNotices(list []policy.CaptureProblem) {
	slices.SortFunc(list, func(a, b policy.CaptureProblem) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), a.Policies[0].Compare(b.Policies[0]))
	})
}
