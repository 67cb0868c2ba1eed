package taps

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// Filter says which calls a tap wants. The zero Filter wants all.
type Filter struct {
	// Namespace, Pod (a name) and Workload (a name, or kind/name) say whose.
	Namespace, Pod, Workload string
	// Policy governs them: namespace/name, or the name of a ClusterRetryPolicy.
	Policy string
	// Host is a host or an address, without a port, or *.suffix.
	Host string
	// Status is a status, or a class of them, such as 5xx.
	Status string
	// Outcome is one of Outcomes.
	Outcome string
}

// The outcomes that stand for several.
const (
	succeeded = "succeeded"
	failed    = "failed"
	retried   = "retried"
)

// Outcomes are what a filter can ask for: succeeded, failed and retried, the kinds that calls end with, and the decisions about retries.
func Outcomes() []string {
	all := []string{succeeded, failed, retried}
	for k := range call.KindCount {
		if k != call.OK && k != call.Superseded { // which is succeeded or a status, and no call's
			all = append(all, k.String())
		}
	}
	for d := range call.RetryDecisionCount {
		if !slices.Contains(all, d.String()) {
			all = append(all, d.String())
		}
	}
	return all
}

// compile checks f and makes it ready.
func (f *Filter) compile() (*matcher, error) {
	m := &matcher{Filter: *f}
	if f.Policy != "" {
		m.policy = policy.ParseID(f.Policy)
	}
	var err error
	if m.host, err = NewHostMatch(f.Host); err != nil {
		return nil, err
	}
	if m.from, m.to, err = statuses(f.Status); err != nil {
		return nil, err
	}
	if all := Outcomes(); f.Outcome != "" && !slices.Contains(all, f.Outcome) {
		return nil, fmt.Errorf("outcome is %s; write one of: %s", liveapi.Quote(f.Outcome), strings.Join(all, ", "))
	}
	return m, nil
}

// statuses returns the first and the last status that are meant.
func statuses(s string) (from, to int, err error) {
	if s == "" {
		return 0, 0, nil
	}
	wrong := errors.New("status is " + liveapi.Quote(s) + "; write a status, such as 503, or a class, such as 5xx")
	if class, ok := strings.CutSuffix(strings.ToLower(s), "xx"); ok {
		n, err := strconv.Atoi(class)
		if err != nil || n < 1 || n > 5 {
			return 0, 0, wrong
		}
		return n * 100, n*100 + 99, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 100 || n > 599 {
		return 0, 0, wrong
	}
	return n, n, nil
}

// matcher is a filter that was compiled. It is immutable.
type matcher struct {
	Filter
	policy   policy.ID
	host     *HostMatch
	from, to int
}

// wants reports whether a call is wanted, by what needs no look-up.
func (m *matcher) wants(e *routes.Exchange, id policy.ID) bool {
	return (m.Policy == "" || m.policy == id) &&
		(m.from == 0 || e.Outcome.Status >= m.from && e.Outcome.Status <= m.to) &&
		(m.Outcome == "" || m.wantsOutcome(&e.Outcome)) && m.host.Matches(e.Host, e.Original.Addr())
}

func (m *matcher) wantsOutcome(o *call.Outcome) bool {
	good := (o.Decision == call.NotNeeded || o.Decision == call.Recovered) && !o.Truncated
	switch m.Outcome {
	case succeeded:
		return good
	case failed:
		return !good
	case retried:
		return o.Attempts > 1
	}
	return m.Outcome == o.Decision.String() || m.Outcome == o.Kind.String() || m.Outcome == o.Cause.String()
}

// wantsCaller reports whether the call of a pod is wanted, given its names.
func (m *matcher) wantsCaller(pod, workload string) bool {
	namespace, name, _ := strings.Cut(pod, "/")
	_, owner, _ := strings.Cut(workload, "/")
	return (m.Namespace == "" || m.Namespace == namespace) && (m.Pod == "" || m.Pod == name) &&
		(m.Workload == "" || m.Workload == workload || m.Workload == owner)
}
