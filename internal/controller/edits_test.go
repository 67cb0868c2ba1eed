package controller

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/changes"
)

// managed is an entry of managedFields, so many seconds after begin.
func managed(manager string, second int, fields string) metav1.ManagedFieldsEntry {
	at := metav1.NewTime(begin.Add(time.Duration(second) * time.Second))
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Time: &at, FieldsV1: metav1.NewFieldsV1(fields)}
}

const (
	ofSpec  = `{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:timeouts":{"f:overall":{}}}}`
	forced  = `{"f:metadata":{"f:annotations":{"f:policy.fairlead.dev/circuit-breaker":{}}}}`
	ofNames = `{"f:metadata":{"f:annotations":{"f:spec":{}}}}`
)

// The last edit is that of the latest entry that has something of the spec; one of the status, or of metadata alone, is none.
func TestWhoEditedASpec(t *testing.T) {
	ofStatus := managed("fairlead", 9, `{"f:spec":{},"f:status":{}}`)
	ofStatus.Subresource = "status"
	applied := managed("argocd-controller", 3, ofSpec)
	applied.Operation = metav1.ManagedFieldsOperationApply
	timeless := managed("old", 0, ofSpec)
	timeless.Time = nil
	for name, tc := range map[string]struct {
		managers []metav1.ManagedFieldsEntry
		want     string
	}{
		"nobody":             {nil, " "},
		"one":                {[]metav1.ManagedFieldsEntry{managed("kubectl-edit", 1, ofSpec)}, "kubectl-edit Update"},
		"the latest":         {[]metav1.ManagedFieldsEntry{applied, managed("kubectl-edit", 1, ofSpec)}, "argocd-controller Apply"},
		"others come later":  {[]metav1.ManagedFieldsEntry{managed("flux", 2, ofSpec), managed("person", 5, forced), managed("x", 6, ofNames), ofStatus, timeless}, "flux Update"},
		"in one second":      {[]metav1.ManagedFieldsEntry{managed("flux", 2, ofSpec), managed("kubectl-edit", 2, ofSpec), managed("older", 1, ofSpec)}, " "},
		"one in one second":  {[]metav1.ManagedFieldsEntry{managed("flux", 2, ofSpec), managed("flux", 2, ofSpec)}, "flux Update"},
		"what is no JSON":    {[]metav1.ManagedFieldsEntry{managed("x", 2, `"f:spec"`)}, " "},
		"after one together": {[]metav1.ManagedFieldsEntry{managed("a", 1, ofSpec), managed("b", 1, ofSpec), managed("c", 2, ofSpec)}, "c Update"},
	} {
		p := &v1alpha1.RetryPolicy{}
		p.Generation, p.ManagedFields = 7, tc.managers
		for range 2 { // what the cache keeps says the same
			if e := editOf(p); e.Generation != 7 || e.FieldManager+" "+e.Operation != tc.want {
				t.Errorf("%s: %+v, want %s", name, e, tc.want)
			}
			if _, err := trimManagers(p); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The cache keeps of managedFields no more than is read.
func TestOfManagedFieldsWhatIsReadIsKept(t *testing.T) {
	p := &v1alpha1.RetryPolicy{}
	given := []metav1.ManagedFieldsEntry{managed("gitops", 1, ofSpec), {Manager: "none"}, managed("labels", 1, ofNames), managed("person", 1, forced), managed("faults", 0, `{"f:spec":{"f:faults":{}}}`)}
	p.ManagedFields = given
	if _, err := trimManagers(p); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, f := range p.ManagedFields {
		got += fmt.Sprintln(f.Manager, f.FieldsV1.GetRawString())
	}
	if want := fmt.Sprintln("gitops", `{"f:spec":{}}`) + fmt.Sprintln("person", forced) + fmt.Sprintln("faults", `{"f:spec":{"f:faults":{}}}`); got != want {
		t.Errorf("kept\n%s, want\n%s", got, want)
	}
	if given[0].FieldsV1.GetRawString() != ofSpec {
		t.Error("what was given is written to")
	}
	if e, want := editOf(p), (changes.Edit{FieldManager: "gitops", Operation: "Update", At: begin.Add(time.Second)}); e != want {
		t.Errorf("the last edit is %+v, want %+v", e, want)
	}
}
