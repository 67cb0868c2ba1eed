// Package status is kubectl fairlead status: the cluster at a glance.
package status

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// New returns the command.
func New(env *kube.Env) *cobra.Command {
	var l kube.Listing
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the cluster at a glance: manager, agents, and the policies that need attention",
		Long: `Shows whether the manager and the agents are well, how many policies are in force, and which need attention: those that are not ready, not wholly
enforced, whose circuit breakers are open, or that do something for a time only. It is about the whole cluster, unless -n names a namespace.`,
		Example: "  kubectl fairlead status\n  kubectl fairlead status -n shop -o wide\n  kubectl fairlead status --watch",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("namespace") {
				l.AllNamespaces = true
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			return l.Run(cmd.Context(), c, func(ctx context.Context) (*kube.Found, error) { return collect(ctx, env, c, &l) })
		},
	}
	l.AddTo(cmd, env)
	return cmd
}

// Summary is what status prints.
type Summary struct {
	System   *kube.Components `json:"system,omitempty"`
	Policies Counts           `json:"policies"`
	// Attention are the policies that need it.
	Attention []Attention `json:"attention"`
}

// Counts are how many policies are how.
type Counts struct {
	RetryPolicies        int `json:"retryPolicies"`
	ClusterRetryPolicies int `json:"clusterRetryPolicies"`
	Ready                int `json:"ready"`
	// Calling is how many have figures of calls in the last minute.
	Calling int `json:"calling"`
	// LeastSuccess is the smallest success of them, and LeastSuccessful the policy that has it.
	LeastSuccess    string `json:"leastSuccess,omitempty"`
	LeastSuccessful string `json:"leastSuccessful,omitempty"`
	// BreakersOpen is how many policies have open circuit breakers.
	BreakersOpen int `json:"breakersOpen"`

	least float64
}

// Attention is why a policy needs attention.
type Attention struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Reason    string `json:"reason"`
	Message   string `json:"message,omitempty"`
}

func collect(ctx context.Context, env *kube.Env, c client.Reader, l *kube.Listing) (*kube.Found, error) {
	options, err := l.Options()
	if err != nil {
		return nil, err
	}
	policies, err := kube.Policies(ctx, c, options)
	if err != nil {
		return nil, err
	}
	s := Summary{Attention: []Attention{}}
	system, missing := env.Components(ctx, c)
	s.System = system
	found := &kube.Found{Table: output.Table{Columns: output.Columns("NAMESPACE", "POLICY", "REASON", "+NODES", "MESSAGE")}}
	for i := range policies {
		p := &policies[i]
		s.Policies.add(p)
		for _, a := range AttentionOf(p) {
			s.Attention = append(s.Attention, a)
			found.Rows = append(found.Rows, output.Row{
				Name: p.Resource(), Key: p.Kind + "/" + p.Key() + "/" + a.Reason,
				Cells: []string{a.Namespace, a.Name, a.Reason, nodes(p), a.Message},
			})
		}
	}
	found.Value, found.Text = s, s.text(missing)
	return found, nil
}

func nodes(p *kube.Policy) string {
	if p.Status.Nodes == nil {
		return ""
	}
	return p.Status.Nodes.Summary
}

func (c *Counts) add(p *kube.Policy) {
	if p.Kind == v1alpha1.RetryPolicyKind {
		c.RetryPolicies++
	} else {
		c.ClusterRetryPolicies++
	}
	if meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady) {
		c.Ready++
	}
	t := p.Status.Traffic
	if t == nil {
		return
	}
	if t.BreakersOpen > 0 { // also while nobody calls
		c.BreakersOpen++
	}
	if t.Requests == 0 {
		return
	}
	c.Calling++
	success, err := strconv.ParseFloat(strings.TrimSuffix(t.Success, "%"), 64)
	if err == nil && (c.LeastSuccess == "" || success < c.least) {
		c.least, c.LeastSuccess, c.LeastSuccessful = success, t.Success, p.Key()
	}
}

// text is what people read above the table.
func (s *Summary) text(missing error) string {
	var b strings.Builder
	if s.System != nil {
		fmt.Fprintf(&b, "Manager:   %s (%s)\n", &s.System.Manager, s.System.Manager.Image)
		fmt.Fprintf(&b, "Agents:    %s (%s)\n", &s.System.Agents, s.System.Agents.Image)
	} else {
		fmt.Fprintf(&b, "Manager:   unknown: %v\n", missing)
	}
	n := s.Policies.RetryPolicies + s.Policies.ClusterRetryPolicies
	fmt.Fprintf(&b, "Policies:  %d of %d ready (%d RetryPolicies, %d ClusterRetryPolicies)\n", s.Policies.Ready, n, s.Policies.RetryPolicies, s.Policies.ClusterRetryPolicies)
	switch {
	case s.Policies.Calling == 0:
		b.WriteString("Calls:     none in the last minute\n")
	case s.Policies.LeastSuccess == "":
		fmt.Fprintf(&b, "Calls:     under %s in the last minute\n", policies(s.Policies.Calling))
	default:
		fmt.Fprintf(&b, "Calls:     under %s in the last minute; least success %s (%s)\n", policies(s.Policies.Calling), s.Policies.LeastSuccess, s.Policies.LeastSuccessful)
	}
	fmt.Fprintf(&b, "Breakers:  open under %s\n", policies(s.Policies.BreakersOpen))
	if len(s.Attention) == 0 {
		b.WriteString("\nNo policy needs attention.\n")
	} else {
		b.WriteString("\n")
	}
	return b.String()
}

func policies(n int) string { return output.Count(n, "policy", "policies") }

// passing are the conditions that are worth a look while they are True.
var passing = []string{
	v1alpha1.ConditionConflicted, v1alpha1.ConditionPartiallyEnforced, v1alpha1.ConditionBreakerForced, v1alpha1.ConditionFaultsActive,
}

// AttentionOf lists why a policy needs attention.
func AttentionOf(p *kube.Policy) (list []Attention) {
	add := func(reason, message string) {
		list = append(list, Attention{p.Kind, p.Object.GetNamespace(), p.Object.GetName(), reason, message})
	}
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		add("NoStatus", "The manager has not looked at it yet: is one running?")
	case ready.Status != metav1.ConditionTrue:
		add(ready.Reason, ready.Message)
	case p.Status.ObservedGeneration != p.Object.GetGeneration():
		add("NotObserved", "The manager has not looked at this generation yet.")
	case ready.Reason == v1alpha1.ReasonNoMatchingPods || p.Status.MatchedPods != nil && *p.Status.MatchedPods == 0 && p.Status.Mode != v1alpha1.ModeDisabled:
		add(v1alpha1.ReasonNoMatchingPods, "It selects no pod, so it has no effect.")
	}
	for _, kind := range passing {
		if c := meta.FindStatusCondition(p.Status.Conditions, kind); c != nil && c.Status == metav1.ConditionTrue {
			add(kind, c.Message)
		}
	}
	for i := range p.Status.Destinations {
		d := &p.Status.Destinations[i]
		if d.Breaker == v1alpha1.BreakerStateOpen {
			add("BreakerOpen", "The circuit breaker of "+d.To+" is open.")
		}
	}
	return list
}
