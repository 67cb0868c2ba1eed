package compile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

func injecting(until v1alpha1.Timestamp) *v1alpha1.Faults {
	return &v1alpha1.Faults{Until: until, Percent: i32(10), Abort: &v1alpha1.FaultAbort{Type: v1alpha1.FaultReset}}
}

func faultsSource(f *v1alpha1.Faults, rules ...v1alpha1.Rule) *Source {
	return &Source{
		ID: policy.ParseID("shop/p"), Level: LevelPods, To: []v1alpha1.Destination{host("a.example")},
		Body: &v1alpha1.PolicyBody{Rules: rules, CallBlocks: v1alpha1.CallBlocks{Faults: f}},
	}
}

const ownsFaults = `{"f:spec":{"f:faults":{"f:until":{}}}}`

func TestFaultsAreCompiled(t *testing.T) {
	const until = "2026-03-01T14:00:00+01:00"
	end := written.Add(time.Hour).Unix()
	for name, tc := range map[string]struct {
		in   *v1alpha1.Faults
		want *policy.Faults
	}{
		"none": {nil, nil},
		"off":  {&v1alpha1.Faults{Mode: v1alpha1.SwitchDisabled}, nil},
		"a reset": {
			injecting(until), &policy.Faults{Until: end, Percent: 10, Abort: policy.FaultReset},
		},
		"a delay": {
			&v1alpha1.Faults{Until: until, Percent: i32(1), Delay: &v1alpha1.FaultDelay{Duration: "2s", JitterPercent: i32(50)}},
			&policy.Faults{Until: end, Percent: 1, Delay: 2 * time.Second, JitterPercent: 50},
		},
		"an answer": {
			&v1alpha1.Faults{Until: until, Percent: i32(1), Abort: &v1alpha1.FaultAbort{Type: v1alpha1.FaultResponse}},
			&policy.Faults{Until: end, Percent: 1, Abort: policy.FaultResponse, Status: 503, GRPCStatus: 14},
		},
		"an answer as written": {
			&v1alpha1.Faults{Until: until, Percent: i32(1), Abort: &v1alpha1.FaultAbort{Type: v1alpha1.FaultResponse, StatusCode: i32(404), GRPCStatus: "ABORTED"}},
			&policy.Faults{Until: end, Percent: 1, Abort: policy.FaultResponse, Status: 404, GRPCStatus: 10},
		},
		"an answer whose status stands for another one": {
			&v1alpha1.Faults{Until: until, Percent: i32(1), Abort: &v1alpha1.FaultAbort{Type: v1alpha1.FaultResponse, StatusCode: i32(404)}},
			&policy.Faults{Until: end, Percent: 1, Abort: policy.FaultResponse, Status: 404, GRPCStatus: 12},
		},
		"no such day": {injecting("2026-02-30T10:00:00Z"), nil},
	} {
		s := settingsOf(faultsSource(tc.in).Body)
		if diff := cmp.Diff(tc.want, s.Faults); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What is injected ends when its own block says: blocks of several policies are not mixed, and one that is switched off forbids it.
//
//enforces:agent faults.mode
func TestFaultsOfSeveralPoliciesAreNotMixed(t *testing.T) {
	earlier := &v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Faults: &v1alpha1.Faults{
		Until: "2026-03-01T13:00:00Z", Percent: i32(100), Delay: &v1alpha1.FaultDelay{Duration: "2s"},
	}}}
	later := &v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Faults: injecting("2026-03-02T11:00:00Z")}}
	want := &policy.Faults{Until: written.Add(23 * time.Hour).Unix(), Percent: 10, Abort: policy.FaultReset}
	if got := settingsOf(merged(earlier, later)).Faults; !cmp.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := settingsOf(merged(earlier, &v1alpha1.PolicyBody{})).Faults; got == nil || got.Delay != 2*time.Second {
		t.Errorf("%+v", got)
	}
	off := &v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Faults: &v1alpha1.Faults{Mode: v1alpha1.SwitchDisabled}}}
	if got := settingsOf(merged(earlier, off)).Faults; got != nil {
		t.Errorf("%+v though it is switched off", got)
	}
	rules := rulesOf([]*v1alpha1.PolicyBody{{Rules: []v1alpha1.Rule{{Name: "r", CallBlocks: v1alpha1.CallBlocks{Faults: injecting("2026-03-02T11:00:00Z")}}}}, off})
	if rules[0].Settings.Faults != nil {
		t.Error("a rule injects what a later policy has switched off")
	}
}

// A policy says when the last of its faults ends, and is refused where one ends too late or never: the day is counted from when it was written.
func TestTheEndsOfFaults(t *testing.T) {
	rule := func(f *v1alpha1.Faults) v1alpha1.Rule {
		return v1alpha1.Rule{Name: "charge", CallBlocks: v1alpha1.CallBlocks{Faults: f}}
	}
	m := &metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		manager("other", written.Add(-time.Minute), `{"f:spec":{}}`), manager("kubectl", written.Add(-3*time.Hour), ownsFaults),
	}}
	for name, tc := range map[string]struct {
		src  *Source
		want time.Duration // from written; 0: nothing is injected
		says string
	}{
		"none":                {src: faultsSource(nil)},
		"off":                 {src: faultsSource(&v1alpha1.Faults{Mode: v1alpha1.SwitchDisabled})},
		"over":                {src: faultsSource(injecting("2026-03-01T12:00:00Z"))},
		"in force":            {src: faultsSource(injecting("2026-03-01T13:00:00Z")), want: time.Hour},
		"a rule's":            {src: faultsSource(injecting("2026-03-01T13:00:00Z"), rule(injecting("2026-03-01T14:00:00Z"))), want: 2 * time.Hour},
		"a rule's alone":      {src: faultsSource(injecting("2026-03-01T11:00:00Z"), rule(injecting("2026-03-01T14:00:00Z"))), want: 2 * time.Hour},
		"a day ahead":         {src: faultsSource(injecting("2026-03-02T09:04:00Z")), want: 21*time.Hour + 4*time.Minute},
		"more than a day":     {src: faultsSource(injecting("2026-03-02T09:06:00Z")), says: "more than 24 hours after it was written: write a time before 2026-03-02T09:00:00Z"},
		"in a rule":           {src: faultsSource(nil, rule(injecting("2027-03-02T09:06:00Z"))), says: "rules[charge].faults.until is 2027-03-02T09:06:00Z, more than"},
		"no day of the month": {src: faultsSource(injecting("2026-02-30T12:00:00Z")), says: `faults.until is "2026-02-30T12:00:00Z", which is no time`},
	} {
		f := FaultsOf(tc.src, m, written)
		want := int64(0)
		if tc.want > 0 {
			want = written.Add(tc.want).Unix()
		}
		if f.Until != want || !strings.Contains(f.Problem, tc.says) || (tc.says == "") != (f.Problem == "") {
			t.Errorf("%s: %+v", name, f)
		}
		tc.src.Faults = f
		if _, problems := Read(*tc.src, services, NoReferences); (len(problems) > 0) != (tc.says != "") {
			t.Errorf("%s: %+v", name, problems)
		}
	}
	if f := FaultsOf(faultsSource(injecting("2026-03-02T12:01:00Z")), &metav1.ObjectMeta{}, written); !f.Set() {
		t.Errorf("who wrote it is not known: %+v", f)
	}
}

// Connections without requests cannot be answered.
func TestAnswersAreNotInjectedIntoConnections(t *testing.T) {
	src := faultsSource(&v1alpha1.Faults{Until: "2026-03-01T13:00:00Z", Percent: i32(1), Abort: &v1alpha1.FaultAbort{Type: v1alpha1.FaultResponse, StatusCode: i32(500)}})
	src.To = []v1alpha1.Destination{{Host: "a.example", Protocol: v1alpha1.ProtocolTLS}}
	want := []UnenforcedField{
		{"to[0].protocol", v1alpha1.ReasonEncrypted, 0}, {"faults.abort.type", v1alpha1.ReasonEncrypted, 0}, {"faults.abort.statusCode", v1alpha1.ReasonEncrypted, 0},
	}
	if diff := cmp.Diff(want, UnenforcedFields(src)); diff != "" {
		t.Error(diff)
	}
	src.Body.Faults = injecting("2026-03-01T13:00:00Z")
	if diff := cmp.Diff(want[:1], UnenforcedFields(src)); diff != "" {
		t.Error(diff)
	}
}
