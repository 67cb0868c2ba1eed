package apivalidation

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// What kubectl get prints of a policy whose status is filled in from the Go
// types, which also proves that the types and the schema of the status agree.
func TestColumns(t *testing.T) {
	needAPIServer(t)
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(apiServer.config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]struct {
		object client.Object
		status *v1alpha1.PolicyStatus
	}{}
	to := []v1alpha1.Destination{{Any: &v1alpha1.AnyDestination{}}}
	rp := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Name: "columns", Namespace: "default"}, Spec: v1alpha1.RetryPolicySpec{To: to}}
	crp := &v1alpha1.ClusterRetryPolicy{ObjectMeta: metav1.ObjectMeta{Name: "columns"},
		Spec: v1alpha1.ClusterRetryPolicySpec{To: to, Defaults: &v1alpha1.PolicyBody{}}}
	objects["namespaces/default/retrypolicies"] = struct {
		object client.Object
		status *v1alpha1.PolicyStatus
	}{rp, &rp.Status}
	objects["clusterretrypolicies"] = struct {
		object client.Object
		status *v1alpha1.PolicyStatus
	}{crp, &crp.Status}

	for resource, o := range objects {
		t.Run(resource, func(t *testing.T) {
			if err := c.Create(t.Context(), o.object); err != nil {
				t.Fatal(err)
			}
			*o.status = fullStatus()
			if err := c.Status().Update(t.Context(), o.object, client.FieldValidation("Strict")); err != nil {
				t.Fatal(err)
			}
			want := []column{
				{"Mode", 0, "Enforce"}, {"Pods", 0, int64(12)}, {"Nodes", 0, "3/3"}, {"RPS", 0, "12.5"}, {"Success", 0, "99.93%"},
				{"Retries", 0, int64(41)}, {"P99", 0, "12ms"}, {"Breaker", 0, "Open(1)"}, {"Ready", 0, "True"},
				{"Destinations", 1, "warehouse/inventory:80"}, {"Opaque", 1, "3 open, 12 opened"}, {"Message", 1, "in force on 3 nodes"},
			}
			if diff := cmp.Diff(want, columns(t, resource, "columns")); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
		})
	}
}

type column struct {
	Name     string
	Priority int32
	Cell     any
}

// columns returns what kubectl get shows of an object, without its name and age.
func columns(t *testing.T, resource, name string) []column {
	t.Helper()
	config := rest.CopyConfig(apiServer.config)
	config.APIPath, config.GroupVersion = "/apis", new(v1alpha1.GroupVersion())
	scheme := runtime.NewScheme()
	metav1.AddMetaToScheme(scheme)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	get := c.Get().AbsPath("/apis", v1alpha1.GroupName, v1alpha1.Version, resource, name)
	if err := get.SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Into(&table); err != nil {
		t.Fatal(err)
	}
	var got []column
	for i, definition := range table.ColumnDefinitions {
		if definition.Name != "Name" && definition.Name != "Age" {
			got = append(got, column{definition.Name, definition.Priority, table.Rows[0].Cells[i]})
		}
	}
	return got
}

func fullStatus() v1alpha1.PolicyStatus {
	now := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	condition := func(kind, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: now, ObservedGeneration: 1}
	}
	return v1alpha1.PolicyStatus{
		Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted, "valid"),
			condition(v1alpha1.ConditionProgrammed, v1alpha1.ReasonProgrammed, "3 of 3 nodes"),
			condition(v1alpha1.ConditionReady, v1alpha1.ReasonReady, "in force on 3 nodes"),
			condition(v1alpha1.ConditionPartiallyEnforced, v1alpha1.ReasonEncrypted, "retry.hedging"),
		},
		ObservedGeneration: 1,
		Mode:               v1alpha1.ModeEnforce,
		MatchedNamespaces:  new(int32(1)), MatchedPods: new(int32(12)), HostNetworkPods: new(int32(0)),
		Nodes: &v1alpha1.NodesStatus{Desired: 3, Programmed: 3, Summary: "3/3",
			Failures: []v1alpha1.NodeFailure{{Node: "node1", Reason: "TooManyRules", Message: "out of memory"}}},
		Destinations: []v1alpha1.DestinationStatus{{To: "warehouse/inventory:80", Protocol: v1alpha1.ProtocolHTTP, Endpoints: new(int32(2)), Ejected: new(int32(1)),
			Breaker: v1alpha1.BreakerStateOpen, BreakerSince: &now, Enforced: v1alpha1.EnforcementPartial,
			NotEnforced: []v1alpha1.NotEnforcedField{{Field: "retry.hedging", Reason: v1alpha1.ReasonEncrypted}}}},
		DestinationSummary: "warehouse/inventory:80",
		Effective: &v1alpha1.EffectiveStatus{
			OverriddenBy: []v1alpha1.PolicyReference{{Kind: v1alpha1.ClusterRetryPolicyKind, Name: "floor", Blocks: []string{"timeouts"}}}, MoreOverriddenBy: 1,
			Overrides: []v1alpha1.PolicyReference{{Kind: v1alpha1.RetryPolicyKind, Namespace: "shop", Name: "base"}}, MoreOverrides: 2,
		},
		Traffic: &v1alpha1.TrafficStatus{Window: "1m", AsOf: &now, Requests: 750, SuccessPercent: new(int32(99)), Abandoned: 3, Truncated: 2, Retries: 41, RetrySuccesses: 40,
			NotRetried: &v1alpha1.NotRetried{Method: 1, Body: 1, Budget: 1, Deadline: 1, NotRetryable: 1, Exhausted: 1},
			Timeouts:   2, RateLimited: 3, BreakerRejected: 4, PoolOverflow: 5, BreakersOpen: 1, BreakersHalfOpen: 1, OlderConnections: 37,
			Opaque: &v1alpha1.OpaqueTraffic{Opened: 12, Open: 3, SentBytes: 100, ReceivedBytes: 2000, Summary: "3 open, 12 opened"},
			P50:    "3ms", P99: "12ms", RPS: "12.5", Success: "99.93%", Breaker: "Open(1)"},
	}
}
