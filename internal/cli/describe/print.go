package describe

import (
	"fmt"
	"io"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// maxMerges is how many merges are printed without --all: a ClusterRetryPolicy may have thousands.
const maxMerges = 10

// selects says which pods a policy selects.
func selects(p *kube.Policy) string {
	var pods, namespaces *metav1.LabelSelector
	where := "in namespace " + p.Object.GetNamespace()
	switch o := p.Object.(type) {
	case *v1alpha1.RetryPolicy:
		pods = o.Spec.PodSelector
	case *v1alpha1.ClusterRetryPolicy:
		if pods, namespaces = o.Spec.PodSelector, o.Spec.NamespaceSelector; namespaces == nil {
			where = "in every namespace"
		} else {
			where = "in namespaces with " + metav1.FormatLabelSelector(namespaces)
		}
	}
	if pods == nil || len(pods.MatchLabels)+len(pods.MatchExpressions) == 0 {
		return "every pod " + where
	}
	return "pods with " + metav1.FormatLabelSelector(pods) + " " + where
}

func (d *Description) print(w io.Writer, all bool) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-14s%s\n", name+":", output.Text(fmt.Sprintf(format, args...)))
	}
	line("Name", "%s", d.Name)
	if d.Namespace != "" {
		line("Namespace", "%s", d.Namespace)
	}
	line("Kind", "%s", d.Kind)
	if d.Status.Mode != "" {
		line("Mode", "%s", d.Status.Mode)
	}
	line("Selects", "%s", d.Selects)
	if n := d.Status.MatchedPods; n != nil {
		line("Pods", "%d", *n)
	}
	if n := d.Status.Nodes; n != nil {
		line("Nodes", "%s programmed", n.Summary)
	}
	d.printConditions(w)
	d.printDestinations(w)
	d.printMerges(w, all)
	d.printRest(w)
}

func (d *Description) printConditions(w io.Writer) {
	fmt.Fprintln(w, "Conditions:")
	if len(d.Status.Conditions) == 0 {
		fmt.Fprintln(w, "  none: the manager has not looked at it yet")
		return
	}
	t := output.Table{Columns: output.Columns("  TYPE", "STATUS", "REASON", "MESSAGE")}
	for _, c := range d.Status.Conditions {
		t.Rows = append(t.Rows, output.Row{Cells: []string{"  " + c.Type, string(c.Status), c.Reason, c.Message}})
	}
	_ = t.Print(w, true, true)
}

func (d *Description) printDestinations(w io.Writer) {
	if len(d.Status.Destinations) == 0 {
		return
	}
	fmt.Fprintln(w, "Destinations:")
	t := output.Table{Columns: output.Columns("  TO", "PROTOCOL", "ENDPOINTS", "BREAKER", "ENFORCED")}
	for i := range d.Status.Destinations {
		s := &d.Status.Destinations[i]
		endpoints := ""
		if s.Endpoints != nil {
			endpoints = fmt.Sprint(*s.Endpoints)
		}
		t.Rows = append(t.Rows, output.Row{Cells: []string{"  " + s.To, string(s.Protocol), endpoints, string(s.Breaker), string(s.Enforced)}})
	}
	_ = t.Print(w, true, true)
}

func (d *Description) printMerges(w io.Writer, all bool) {
	if len(d.Merges) == 0 {
		fmt.Fprintln(w, "\nIn force for no pod.")
		return
	}
	for i := range d.Merges {
		if i == maxMerges && !all {
			fmt.Fprintf(w, "\n%d more merges; --all shows them.\n", len(d.Merges)-i)
			return
		}
		m := &d.Merges[i]
		acts := "In force"
		if m.DryRun {
			acts = "In a dry run"
		}
		fmt.Fprintf(w, "\n%s for %s\n", acts, output.Text(m.Destination))
		fmt.Fprintf(w, "  of %d pods: %s\n", m.AllPods, output.Text(m.pods()))
		fmt.Fprintf(w, "  merged of %s\n", output.Text(strings.Join(m.Policies, ", then ")))
		effective.Print(w, "  ", m.Fields, all)
		for _, r := range m.Rules {
			fmt.Fprintf(w, "  Rule %s differs in\n", output.Text(r.Name))
			if len(r.Fields) == 0 {
				fmt.Fprintln(w, "    nothing")
				continue
			}
			effective.Print(w, "    ", r.Fields, true)
		}
	}
}

func (m *Merge) pods() string {
	s := strings.Join(m.Pods, ", ")
	if more := m.AllPods - len(m.Pods); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

func (d *Description) printRest(w io.Writer) {
	if len(d.Refused) > 0 {
		fmt.Fprintln(w, "\nNot in force as it is written:")
		for _, r := range d.Refused {
			fmt.Fprintf(w, "  %s\n", output.Text(r))
		}
	}
	if len(d.Unenforced) > 0 {
		fmt.Fprintln(w, "\nNot enforced:")
		t := output.Table{Columns: output.Columns("  FIELD", "REASON", "DESTINATION")}
		for _, u := range d.Unenforced {
			to := u.Destination
			if to == "" {
				to = "all"
			}
			t.Rows = append(t.Rows, output.Row{Cells: []string{"  " + u.Field, u.Reason, to}})
		}
		_ = t.Print(w, true, true)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(w, "\n%s\n", output.Text(n))
	}
}
