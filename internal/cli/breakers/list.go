// Package breakers is kubectl fairlead breakers: the states of circuit breakers, and keeping them open or closed for a time.
package breakers

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// New returns the command.
func New(env *kube.Env) *cobra.Command { return newCommand(env, nil) }

func newCommand(env *kube.Env, reach ask.Reach) *cobra.Command {
	var l kube.Listing
	cmd := &cobra.Command{
		Use:   "breakers",
		Short: "List circuit breakers, or keep them open or closed for a time",
		Long: `Lists the destinations of policies that have a circuit breaker, with its worst state on all nodes. breakers open and breakers close keep those of a
policy open, or closed, for a time; breakers history lists when breakers opened and closed of late.`,
		Example: "  kubectl fairlead breakers -A\n  kubectl fairlead breakers open payments --for 10m\n  kubectl fairlead breakers reset payments\n  kubectl fairlead breakers history -A --destination billing/payments",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := env.Client()
			if err != nil {
				return err
			}
			return l.Run(cmd.Context(), c, func(ctx context.Context) (*kube.Found, error) { return collect(ctx, env, c, &l) })
		},
	}
	l.AddTo(cmd, env)
	cmd.AddCommand(newForce(env, true), newForce(env, false), newReset(env), newHistory(env, reach))
	return cmd
}

// Breaker is a circuit breaker of a policy's destination, the worst of all nodes.
type Breaker struct {
	Kind        string                `json:"kind"`
	Namespace   string                `json:"namespace,omitempty"`
	Policy      string                `json:"policy"`
	Destination string                `json:"destination"`
	Entry       int                   `json:"entry"` // of to
	State       v1alpha1.BreakerState `json:"state"`
	Since       *metav1.Time          `json:"since,omitempty"`
	// Ejected is how many endpoints are out, and Endpoints of how many.
	Ejected   *int32 `json:"ejected,omitempty"`
	Endpoints *int32 `json:"endpoints,omitempty"`
	Forced    string `json:"forced,omitempty"`
	By        string `json:"forcedBy,omitempty"`
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
	found := &kube.Found{Table: output.Table{
		Columns: output.Columns("NAMESPACE", "POLICY", "TO", "DESTINATION", "STATE", "~SINCE", "EJECTED", "FORCED", "+BY"), None: "No policy has a circuit breaker.",
	}}
	all := []Breaker{}
	for i := range policies {
		p := &policies[i]
		for _, b := range breakersOf(p, env.Now()) {
			all = append(all, b)
			found.Rows = append(found.Rows, output.Row{
				Name: p.Resource(), Key: fmt.Sprintf("%s/%s/%d", p.Kind, p.Key(), b.Entry),
				Cells: []string{
					b.Namespace, b.Policy, strconv.Itoa(b.Entry), b.Destination, string(b.State), since(b.Since, env.Now()), b.ejected(), b.Forced, b.By,
				},
			})
		}
	}
	found.Value = map[string]any{"breakers": all}
	return found, nil
}

func (b *Breaker) ejected() string {
	if b.Ejected == nil || b.Endpoints == nil {
		return ""
	}
	return fmt.Sprintf("%d/%d", *b.Ejected, *b.Endpoints)
}

func since(t *metav1.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// breakersOf returns the breakers of a policy: of each destination that has one, or that something is forced of.
func breakersOf(p *kube.Policy, now time.Time) (list []Breaker) {
	meta := metaOf(p)
	forced := compile.ForcedOf(meta, now)
	for i := range p.Status.Destinations {
		d := &p.Status.Destinations[i]
		ours := forced.Set() && (forced.Entry < 0 || forced.Entry == i)
		if d.Breaker == "" && !ours {
			continue
		}
		b := Breaker{
			Kind: p.Kind, Namespace: p.Object.GetNamespace(), Policy: p.Object.GetName(), Destination: d.To, Entry: i,
			State: cmp.Or(d.Breaker, v1alpha1.BreakerStateClosed), Since: d.BreakerSince, Ejected: d.Ejected, Endpoints: d.Endpoints,
		}
		if ours {
			word := "closed"
			if forced.Open {
				word = "open"
			}
			b.Forced, b.By = word+" until "+forced.End().Format(time.RFC3339), forced.By
		}
		list = append(list, b)
	}
	return list
}

func metaOf(p *kube.Policy) *metav1.ObjectMeta {
	switch o := p.Object.(type) {
	case *v1alpha1.RetryPolicy:
		return &o.ObjectMeta
	case *v1alpha1.ClusterRetryPolicy:
		return &o.ObjectMeta
	}
	return &metav1.ObjectMeta{}
}
