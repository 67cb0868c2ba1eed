package changes

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/liveapi"
)

var began = time.Now()

func shown(list []liveapi.Change) (out []string) {
	for _, c := range list {
		out = append(out, fmt.Sprint(c.Kind, " ", c.Policy, c.Node))
	}
	return out
}

func any(*liveapi.Change) bool { return true }

func TestTheLatestChangesComeFirst(t *testing.T) {
	l := New()
	for i := range 5 {
		l.Add(liveapi.Change{At: began.Add(time.Duration(i) * time.Minute), Kind: AgentConnected, Node: fmt.Sprint("n", i)})
	}
	if got := fmt.Sprint(shown(l.Since(began.Add(2*time.Minute), 2, any))); got != "[AgentConnected n4 AgentConnected n3]" {
		t.Error(got)
	}
	if got := fmt.Sprint(shown(l.Since(began.Add(3*time.Minute), 9, any))); got != "[AgentConnected n4 AgentConnected n3]" {
		t.Error(got)
	}
	if got := l.Since(began, 9, func(c *liveapi.Change) bool { return c.Node == "n1" }); len(got) != 1 || got[0].Node != "n1" {
		t.Errorf("%+v", got)
	}
}

func TestOldChangesMakeRoom(t *testing.T) {
	l := New()
	for i := range kept + 10 {
		l.Add(liveapi.Change{At: began.Add(time.Duration(i)), Kind: "K", Note: strings.Repeat("x", 2*maxNote)})
	}
	all := l.Since(began, 2*kept, any)
	if len(all) != kept || all[0].At != began.Add(kept+9) || all[kept-1].At != began.Add(10) || len(all[0].Note) != maxNote {
		t.Errorf("%d changes from %s to %s", len(all), all[len(all)-1].At, all[0].At)
	}
}

// An upgrade of the agents of a large cluster leaves what has happened to policies meanwhile.
func TestAgentsPushOutNothingElse(t *testing.T) {
	l := New()
	l.Add(liveapi.Change{At: began, Kind: "BreakerOpened", Policy: "shop/a"})
	for i := range 2 * kept {
		kind := AgentGone
		if i%2 == 1 {
			kind = AgentConnected
		}
		l.Add(liveapi.Change{At: began.Add(time.Duration(2*i + 1)), Kind: kind, Node: "n"})
		if i == kept {
			l.PolicySeen(began.Add(time.Duration(2*i+2)), "shop/b", Edit{Generation: 1}, false)
		}
	}
	all := l.Since(began, 4*kept, any)
	if len(all) != kept+2 || all[len(all)-1].Kind != "BreakerOpened" {
		t.Fatalf("%d changes, the oldest is %+v", len(all), all[len(all)-1])
	}
	for i := 1; i < len(all); i++ {
		if all[i].At.After(all[i-1].At) {
			t.Fatalf("%+v comes before %+v", all[i-1], all[i])
		}
	}
	if got := l.Since(began.Add(1), 4*kept, any); len(got) != kept+1 {
		t.Errorf("without the first there are %d", len(got))
	}
	if got := fmt.Sprint(shown(l.Since(began, 2, any))); got != "[AgentConnected n AgentGone n]" {
		t.Error(got)
	}
}

// A policy changes when its generation does. What is there when the manager begins is no change, and neither is what is read again.
func TestEditsOfPolicies(t *testing.T) {
	l := New()
	l.PolicySeen(began, "shop/a", Edit{Generation: 3}, true)
	l.PolicySeen(began, "shop/a", Edit{Generation: 3}, false)
	l.PolicySeen(began, "shop/a", Edit{Generation: 4}, false)
	l.PolicySeen(began, "shop/b", Edit{Generation: 1}, false)
	l.PolicyGone(began, "shop/b")
	l.PolicyGone(began, "shop/b")
	if got := fmt.Sprint(shown(l.Since(began, 9, any))); got != "[PolicyDeleted shop/b PolicyChanged shop/b PolicyChanged shop/a]" {
		t.Error(got)
	}
	var none *Log
	none.Add(liveapi.Change{})
	none.PolicySeen(began, "a", Edit{Generation: 1}, false)
	none.PolicyGone(began, "a")
}

// Who has edited a policy is said, unless nothing in managedFields has changed with the edit.
func TestWhoEditedAPolicy(t *testing.T) {
	l := New()
	kubectl := func(generation int64, at time.Duration) Edit {
		return Edit{generation, "kubectl-edit", "Update", began.Add(at)}
	}
	argo := Edit{2, "argocd-controller", "Apply", began.Add(time.Second)}
	l.PolicySeen(began, "shop/a", kubectl(1, 0), true)
	l.PolicySeen(began, "shop/a", argo, false)
	l.PolicySeen(began, "shop/a", Edit{3, argo.FieldManager, argo.Operation, argo.At}, false) // fields were removed that others have
	l.PolicySeen(began, "shop/a", Edit{Generation: 4}, false)
	l.PolicySeen(began, "shop/a", kubectl(5, time.Minute), false)
	l.PolicySeen(began, "shop/b", Edit{1, strings.Repeat("ä", maxManager), "Update", began}, false)
	var got []string
	for _, c := range slices.Backward(l.Since(began, 9, any)) {
		got = append(got, fmt.Sprintf("%s %s/%d/%s", c.Note, strings.TrimRight(c.FieldManager, "ä"), len(c.FieldManager), c.Operation))
	}
	want := []string{
		"its spec was edited argocd-controller/17/Apply", "its spec was edited /0/", "its spec was edited /0/", "its spec was edited kubectl-edit/12/Update", "it was created /128/Update",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
