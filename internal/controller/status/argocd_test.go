package status

import (
	"os"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
)

// argoHealth runs the script that Argo CD is given as Argo CD does: with the object as the global obj.
func argoHealth(t *testing.T, object map[string]any) (health, message string) {
	t.Helper()
	script, err := os.ReadFile("../../../config/argocd/health.lua")
	if err != nil {
		t.Fatal(err)
	}
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	lua.OpenBase(l) // what Argo CD allows of the libraries, and less
	l.SetGlobal("obj", luaValue(l, object))
	if err := l.DoString(string(script)); err != nil {
		t.Fatal(err)
	}
	result, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returned %v", l.Get(-1))
	}
	return lua.LVAsString(result.RawGetString("status")), lua.LVAsString(result.RawGetString("message"))
}

func luaValue(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case map[string]any:
		table := l.NewTable()
		for key, value := range v {
			table.RawSetString(key, luaValue(l, value))
		}
		return table
	case []any:
		table := l.NewTable()
		for _, value := range v {
			table.Append(luaValue(l, value))
		}
		return table
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	}
	return lua.LNil
}

// TestArgoCDSeesWhatKstatusSees: for what the manager writes, and for what the API server adds to it.
func TestArgoCDSeesWhatKstatusSees(t *testing.T) {
	enforce := index.View{Generation: 3, Mode: v1alpha1.ModeEnforce, Pods: 5, InForce: true}
	refused := enforce
	refused.Problems = []compile.Problem{{Reason: v1alpha1.ReasonServiceNotFound, Message: "No such Service."}}
	disabled := enforce
	disabled.Mode, disabled.InForce = v1alpha1.ModeDisabled, false
	now := metav1.NewTime(begin.Add(time.Hour))
	for name, tc := range map[string]struct {
		view    index.View
		rollout distribute.Rollout
		change  func(*v1alpha1.RetryPolicy)
		health  string
		kstatus status.Status
	}{
		"in force":                 {enforce, distribute.Rollout{Desired: 2, Programmed: 2}, nil, "Healthy", status.CurrentStatus},
		"disabled":                 {disabled, distribute.Rollout{}, nil, "Healthy", status.CurrentStatus},
		"nodes have yet to answer": {enforce, distribute.Rollout{Desired: 2, Pending: 2}, nil, "Progressing", status.InProgressStatus},
		"refused by a node": {enforce, distribute.Rollout{Desired: 1, Failed: 1, Failures: []distribute.Failure{{Node: "a", Message: "no"}}}, nil,
			"Degraded", status.FailedStatus},
		"not accepted":             {refused, distribute.Rollout{Desired: 2, Programmed: 2}, nil, "Degraded", status.FailedStatus},
		"edited, and not seen yet": {enforce, distribute.Rollout{Desired: 2, Programmed: 2}, func(p *v1alpha1.RetryPolicy) { p.Generation++ }, "Progressing", status.InProgressStatus},
		"being deleted":            {enforce, distribute.Rollout{Desired: 2, Programmed: 2}, func(p *v1alpha1.RetryPolicy) { p.DeletionTimestamp = &now }, "Progressing", status.TerminatingStatus},
		// kstatus takes what has no status for what needs none.
		"new": {enforce, distribute.Rollout{}, func(p *v1alpha1.RetryPolicy) { p.Status = v1alpha1.PolicyStatus{} }, "Progressing", status.CurrentStatus},
	} {
		t.Run(name, func(t *testing.T) {
			p := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", Generation: 3}}
			p.Status = *Of(&tc.view, &Reports{Rollout: tc.rollout}, before(), now)
			if tc.change != nil {
				tc.change(p)
			}
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
			if err != nil {
				t.Fatal(err)
			}
			if p.Status.ObservedGeneration == 0 {
				delete(object, "status") // as the API server has it
			}
			u := &unstructured.Unstructured{Object: object}
			u.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(v1alpha1.RetryPolicyKind))
			seen, err := status.Compute(u)
			if err != nil {
				t.Fatal(err)
			}
			health, message := argoHealth(t, object)
			if health != tc.health || seen.Status != tc.kstatus || message == "" {
				t.Errorf("Argo CD sees %s (%q), want %s; kstatus sees %s, want %s", health, message, tc.health, seen.Status, tc.kstatus)
			}
		})
	}
}
