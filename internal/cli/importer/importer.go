package importer

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// Options say what to write.
type Options struct {
	// Cluster writes ClusterRetryPolicies with defaults, for callers in every namespace.
	Cluster bool
	// Gateways writes policies for routes of Gateways too, about the Services behind them.
	Gateways bool
}

// Imported is what came of objects.
type Imported struct {
	// Policies are RetryPolicies and ClusterRetryPolicies, as people write them.
	Policies []*unstructured.Unstructured
	// From are the objects that each policy is made of.
	From [][]string
	Lost []Lost
}

type importer struct {
	Options
	drafts []draft
	lost   []Lost
}

// readers read the kinds that are known, by group and kind.
var readers = map[string]struct {
	read    func(*importer, *source)
	reasons map[string]string
}{
	"gateway.networking.k8s.io/HTTPRoute": {(*importer).readRoute, gatewayReasons},
	"gateway.networking.k8s.io/GRPCRoute": {(*importer).readRoute, gatewayReasons},
	"networking.istio.io/VirtualService":  {(*importer).readVirtualService, istioReasons},
	"networking.istio.io/DestinationRule": {(*importer).readDestinationRule, istioReasons},
	"/Service":                            {(*importer).readService, nil},
	"policy.linkerd.io/HTTPRoute":         {(*importer).readRoute, gatewayReasons},
}

// unread are kinds that have retries, timeouts or circuit breakers and are not read, and what to do about that. The table is never written to.
var unread = map[string]string{
	"linkerd.io/ServiceProfile":                         "ServiceProfiles are not read: write rules for its routes that have isRetryable or timeout",
	"networking.istio.io/EnvoyFilter":                   "EnvoyFilters are not read: they change the configuration of Envoy, which fairlead does not have",
	"gateway.networking.x-k8s.io/XBackendTrafficPolicy": "XBackendTrafficPolicies are not read: write retry.budget for its retryConstraint",
}

// Known reports whether objects of a kind are read, or listed as not read.
func Known(group, kind string) bool {
	_, known := readers[group+"/"+kind]
	return known || unread[group+"/"+kind] != ""
}

// Import makes policies of objects; those of other kinds are left aside.
func Import(objects []*unstructured.Unstructured, o Options) *Imported {
	i := &importer{Options: o}
	for _, u := range objects {
		gk := u.GroupVersionKind().GroupKind()
		r, known := readers[gk.Group+"/"+gk.Kind]
		s := newSource(u, r.reasons)
		if !known {
			if why := unread[gk.Group+"/"+gk.Kind]; why != "" {
				i.lost = append(i.lost, Lost{s.object, "", why})
			}
			continue
		}
		r.read(i, s)
		for _, d := range s.drafts {
			if !isEmpty(&d.body) || len(d.parts) > 0 {
				i.drafts = append(i.drafts, d)
			}
		}
		i.lost = append(i.lost, s.lost...)
	}
	return i.write()
}

func isEmpty(b *v1alpha1.PolicyBody) bool { return len(compile.Written(b)) == 0 }

// callers returns the namespace of the callers that a policy is for. What Istio, Linkerd and routes say of a Service in the Service's own namespace
// holds for callers everywhere; a RetryPolicy is for those of its own namespace.
func (i *importer) callers(object, service string) string {
	if i.Cluster && object == service {
		return ""
	}
	return object
}

// write makes policies of drafts: one of all that are about the same calls, since two policies of one level would conflict.
func (i *importer) write() *Imported {
	out := &Imported{Lost: i.lost}
	groups := map[string][]draft{}
	for _, d := range i.drafts {
		groups[d.key()] = append(groups[d.key()], d)
	}
	names := map[string]int{}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		body := bodyOf(groups[key])
		if isEmpty(&body) && len(body.Rules) == 0 {
			continue
		}
		p, from, everywhere := policyOf(groups[key], body, names)
		out.Policies, out.From = append(out.Policies, asWritten(p)), append(out.From, from)
		if everywhere {
			out.Lost = append(out.Lost, Lost{Object: strings.Join(from, ", "), Reason: "held for callers in every namespace, and the policy is for those of its own; " +
				"--cluster writes ClusterRetryPolicies for all"})
		}
	}
	slices.SortStableFunc(out.Lost, func(a, b Lost) int { return strings.Compare(a.Object, b.Object) })
	return out
}

// key is equal for drafts about the same calls.
func (d *draft) key() string {
	var b strings.Builder
	b.WriteString(d.caller + "\n" + string(d.to.Host))
	if s := d.to.Service; s != nil {
		b.WriteString(s.Namespace + "/" + s.Name)
		if s.Port != nil {
			b.WriteString(":" + s.Port.String())
		}
	}
	for _, k := range slices.Sorted(maps.Keys(d.pods)) {
		b.WriteString("\n" + k + "=" + d.pods[k])
	}
	return b.String()
}

// mergeBodies returns bodies merged as the policies of one call are.
func mergeBodies(bodies ...v1alpha1.PolicyBody) v1alpha1.PolicyBody {
	var all []*v1alpha1.PolicyBody
	for n := range bodies {
		all = append(all, &bodies[n])
	}
	return *compile.Merged(all...)
}

// bodyOf is what drafts about the same calls come to.
func bodyOf(drafts []draft) v1alpha1.PolicyBody {
	var bodies []v1alpha1.PolicyBody
	var routes []draft
	for _, d := range drafts {
		bodies = append(bodies, d.body)
		if d.unsaid != nil {
			routes = append(routes, d)
		}
	}
	body := mergeBodies(bodies...)
	body.Rules = rulesOf(routes)
	distinct(body.Rules)
	return body
}

func policyOf(drafts []draft, body v1alpha1.PolicyBody, names map[string]int) (p any, from []string, everywhere bool) {
	to := drafts[0].to
	for _, d := range drafts {
		if !slices.Contains(from, d.from) {
			from = append(from, d.from)
		}
		if d.to.Protocol != "" {
			to.Protocol = d.to.Protocol
		}
	}
	d := &drafts[0]
	meta := metav1.ObjectMeta{Namespace: d.caller, Name: uniqueName(names, d.caller, d.name)}
	var pods *metav1.LabelSelector
	if len(d.pods) > 0 {
		pods = &metav1.LabelSelector{MatchLabels: d.pods}
	}
	if d.caller == "" {
		return &v1alpha1.ClusterRetryPolicy{
			TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.ClusterRetryPolicyKind}, ObjectMeta: meta,
			Spec: v1alpha1.ClusterRetryPolicySpec{To: []v1alpha1.Destination{to}, Defaults: &body},
		}, from, false
	}
	everywhere = to.Service != nil && to.Service.Namespace == d.caller
	if everywhere {
		local := *to.Service
		local.Namespace = "" // the policy's own
		to.Service = &local
	}
	return &v1alpha1.RetryPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.RetryPolicyKind}, ObjectMeta: meta,
		Spec: v1alpha1.RetryPolicySpec{PodSelector: pods, To: []v1alpha1.Destination{to}, PolicyBody: body},
	}, from, everywhere && len(d.pods) == 0
}
