package cluster_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/cluster"
	"fairlead.dev/fairlead/internal/dashboard/generated"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched runs a source until the test ends. Topics that change come on the channel, as far as it has room.
func watched(t *testing.T, s *cluster.Source) <-chan model.Topic {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	topics := make(chan model.Topic, 64)
	var running sync.WaitGroup
	running.Go(func() {
		s.Watch(ctx, func(changed ...model.Topic) {
			for _, topic := range changed {
				select {
				case topics <- topic:
				default:
				}
			}
		})
	})
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	return topics
}

func small(t *testing.T) *generated.Cluster {
	t.Helper()
	c, err := generated.New(generated.Small)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ask[T any](t *testing.T, read func(context.Context) (*T, error)) *T {
	t.Helper()
	v, err := read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestListsOfACluster(t *testing.T) {
	s := small(t).Source()
	watched(t, s)
	policies := ask(t, s.Policies)
	if len(policies.Items) != 14 || policies.Notes != nil || policies.Items[0].Kind != v1alpha1.RetryPolicyKind || policies.Items[13].Key != "guard" {
		t.Errorf("policies: %+v", policies)
	}
	states := map[model.State]int{}
	for _, p := range policies.Items {
		states[p.State]++
		if p.Figures == nil || p.Figures.Calls == 0 || p.Nodes == 0 || p.To == "" {
			t.Errorf("%+v", p)
		}
		switch {
		case slices.Contains(p.Reasons, "RefusedByNodes") && (p.State != model.NotReady || p.Failed != 1 || p.Programmed != p.Nodes-1):
			t.Errorf("%+v", p)
		case slices.Contains(p.Reasons, "PartiallyEnforced") && (p.State != model.Attention || p.Message == ""):
			t.Errorf("%+v", p)
		}
	}
	if states[model.Ready] == 0 || states[model.Attention] == 0 || states[model.NotReady] == 0 {
		t.Errorf("states %v", states)
	}
	nodes := ask(t, s.Nodes)
	if len(nodes.Items) != 5 || nodes.Items[1].NotProgrammed != 1 || len(nodes.Items[1].Agents) != 0 {
		t.Errorf("nodes: %+v", nodes)
	}
	breakers := ask(t, s.Breakers)
	if len(breakers.Items) != 1 || breakers.Items[0].BreakersOpen != 3 {
		t.Errorf("breakers: %+v", breakers.Items)
	}
	problems := ask(t, s.Problems)
	if problems.Problems == 0 || !slices.ContainsFunc(problems.Findings, func(f model.Finding) bool {
		return f.Group == "nodes" && f.Result == "problem" && strings.Contains(f.What, "node-0001") && f.Fix != ""
	}) {
		t.Errorf("problems: %+v", problems)
	}
	for group, what := range map[string]string{
		"kernel": "nft_reject_inet", "container runtime": "this agent's version does not say", "connections": "keeps alive 2 connections to 10.1.0.7:443",
		"trust": generated.Script, "capture": "pods are captured on",
	} {
		if !slices.ContainsFunc(problems.Findings, func(f model.Finding) bool {
			return f.Group == group && strings.Contains(f.What, what) && (f.Result == "ok" || strings.HasPrefix(f.Docs, "https://"))
		}) {
			t.Errorf("%s: nothing says %q with the page that explains it: %+v", group, what, problems.Findings)
		}
	}
	head := ask(t, s.Cluster)
	if head.Policies.All != 14 || head.Policies.Ready != states[model.Ready] || head.BreakersOpen != 1 || head.Agents.Ready != 4 || head.Total.Calls == 0 ||
		len(head.Names.Policies) != 14 || len(head.Names.Nodes) != 5 || !slices.Contains(head.Names.Namespaces, "shop") || !slices.IsSorted(head.Names.Workloads) {
		t.Errorf("cluster: %+v", head)
	}
}

func TestTrafficOfACluster(t *testing.T) {
	s := small(t).Source()
	watched(t, s)
	of := func(q dashboard.OverviewQuery) *model.Overview {
		return ask(t, func(ctx context.Context) (*model.Overview, error) { return s.Overview(ctx, q) })
	}
	all := of(dashboard.OverviewQuery{Since: 10 * time.Minute, Limit: 500})
	if len(all.Flows) < 14 || all.LeftOut != 0 || all.Series.StepSeconds != 10 || len(all.Series.Points) != 60 {
		t.Fatalf("%d flows, %+v", len(all.Flows), all.Series)
	}
	var sum, points uint64
	for _, f := range all.Flows {
		sum += f.Calls
		if f.Points != nil {
			t.Errorf("a flow has points of its own: %+v", f)
		}
	}
	for _, p := range all.Series.Points {
		points += p.Calls
	}
	if sum != all.Total.Calls || points != sum {
		t.Errorf("flows have %d calls, points %d, the total has %d", sum, points, all.Total.Calls)
	}
	if few := of(dashboard.OverviewQuery{Since: 10 * time.Minute, Limit: 1}); len(few.Flows) != 1 || few.LeftOut != len(all.Flows)-1 || few.Total.Calls < few.Flows[0].Calls+few.LeftOutCalls {
		t.Errorf("%+v", few)
	}
	if hour := of(dashboard.OverviewQuery{Since: time.Hour, Limit: 1}); hour.Series.StepSeconds != 60 || len(hour.Series.Points) < 58 {
		t.Errorf("%d points of %f s", len(hour.Series.Points), hour.Series.StepSeconds)
	}
	for _, f := range of(dashboard.OverviewQuery{Since: time.Minute, Limit: 500, Namespace: "shop"}).Flows {
		if f.Namespace != "shop" {
			t.Errorf("%+v", f)
		}
	}
	changes := ask(t, func(ctx context.Context) (*model.Changes, error) {
		return s.Changes(ctx, dashboard.ChangesQuery{Since: time.Hour, Limit: 20})
	})
	if len(changes.Items) != 20 || !changes.More || len(changes.Series.Points) == 0 {
		t.Errorf("%+v", changes)
	}
	gone := ask(t, func(ctx context.Context) (*model.Changes, error) {
		return s.Changes(ctx, dashboard.ChangesQuery{Since: time.Hour, Limit: 3, Kind: "AgentGone"})
	})
	if len(gone.Items) != 3 || !gone.More || slices.ContainsFunc(gone.Items, func(c liveapi.Change) bool { return c.Kind != "AgentGone" }) {
		t.Errorf("of one kind: %+v", gone)
	}
}

func TestPagesOfOneThing(t *testing.T) {
	s := small(t).Source()
	watched(t, s)
	p := ask(t, func(ctx context.Context) (*model.Policy, error) { return s.Policy(ctx, "shop/backend-0", time.Hour) })
	if p.Key != "shop/backend-0" || len(p.Conditions) < 3 || len(p.Targets) != 1 || p.Targets[0].Figures == nil || *p.Targets[0].Endpoints != 5 ||
		len(p.Merges) != 1 || p.Merges[0].AllPods != generated.Small.PodsEach || len(p.Merges[0].Rules) != 1 || len(p.Flows) == 0 || len(p.Series.Points) == 0 {
		t.Errorf("%+v", p)
	}
	if !slices.ContainsFunc(p.Merges[0].Fields, func(f model.Field) bool {
		return f.Path == "timeouts.connect" && f.Value == "2s" && f.Source == "ClusterRetryPolicy base (default)" && !f.Default
	}) {
		t.Errorf("%+v", p.Merges[0].Fields)
	}
	if _, err := s.Policy(t.Context(), "shop/none", time.Hour); err == nil || !strings.Contains(err.Error(), "shop/none") {
		t.Errorf("a policy that there is not: %v", err)
	}
	var missing *dashboard.NotFoundError
	if _, err := s.Destination(t.Context(), "shop/none:80", time.Minute); !errors.As(err, &missing) || !strings.Contains(err.Error(), `there is no destination "shop/none:80"`) {
		t.Errorf("a destination that there is not: %v", err)
	}
	d := ask(t, func(ctx context.Context) (*model.Destination, error) {
		return s.Destination(ctx, "shop/backend-0:80", time.Hour)
	})
	if len(d.Endpoints) != 5 || d.Endpoints[0].Nodes != d.Asked || d.Asked == 0 || d.Agents < d.Asked || len(d.Limits) != 2 || len(d.Flows) == 0 {
		t.Errorf("%+v", d)
	}
	if l := d.Limits[1]; l.Kind != "Rate" || l.Scope != "Cluster" || l.Max != 500 || len(l.Shares) != d.Asked || l.Shares[0].Max < l.Shares[len(l.Shares)-1].Max {
		t.Errorf("%+v", l)
	}
	opened := 0
	for _, c := range d.Timeline {
		if c.Target != "" && c.Target != d.Flows[0].Target {
			t.Errorf("among the changes is one of another target: %+v", c)
		}
		if c.Kind == "BreakerOpened" {
			opened++
		}
	}
	if opened == 0 {
		t.Errorf("no breaker has opened: %+v", d.Timeline)
	}
	open := ask(t, s.Breakers).Items[0]
	name := strings.TrimPrefix(open.Target, "service ")
	if host, is := strings.CutPrefix(name, "host "); is {
		name = host + ":443"
	}
	d = ask(t, func(ctx context.Context) (*model.Destination, error) { return s.Destination(ctx, name, time.Hour) })
	if len(d.Breakers)+d.ClosedBreakers != d.Asked {
		t.Errorf("%d agents: %+v", d.Asked, d)
	}
	for i, b := range d.Breakers {
		if b.State != "open" || b.Opened == 0 || i > 0 && d.Breakers[i-1].State != "open" {
			t.Errorf("%+v", b)
		}
	}
}

func TestCallsOfACluster(t *testing.T) {
	s := small(t).Source()
	ctx, cancel := context.WithCancel(t.Context())
	var lines []*liveapi.TapLine
	err := s.Calls(ctx, url.Values{"namespace": {"shop"}}, func(l *liveapi.TapLine) {
		if l.Call != nil && !strings.HasPrefix(l.Call.Pod, "shop/") {
			t.Errorf("%+v", l.Call)
		}
		if lines = append(lines, l); len(lines) == 3 {
			cancel()
		}
	}, func([]string) {}) // one agent is not ready
	if err != nil || len(lines) < 3 {
		t.Errorf("%d lines: %v", len(lines), err)
	}
	none := func(*liveapi.TapLine) {}
	for q, says := range map[string]string{"pod=web-1": "give both", "namespace=shop&pod=none": "look for pod shop/none", "node=none": "no agent runs on node none"} {
		values, _ := url.ParseQuery(q)
		if err := s.Calls(t.Context(), values, none, func([]string) {}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// What changes in the API server is there when its topic has changed.
func TestPoliciesAreWatched(t *testing.T) {
	c := small(t)
	s := c.Source()
	topics := watched(t, s)
	keys := func() (all []string) {
		for _, p := range ask(t, s.Policies).Items {
			all = append(all, p.Key)
		}
		return all
	}
	wait := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			select {
			case <-topics:
			case <-t.Context().Done():
				t.Fatalf("%s is not seen", what)
			}
		}
	}
	before := len(keys())
	for range 2 { // both kinds have been listed, and are watched from then on
		<-topics
	}
	p := &v1alpha1.RetryPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "added"}}
	if err := c.Client.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	wait("a new policy", func() bool { return slices.Contains(keys(), "shop/added") })
	if err := c.Client.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	wait("that it was deleted", func() bool { return len(keys()) == before })
}

// Who may read one namespace sees its policies, and is shown what is missing.
func TestRightsForOneNamespace(t *testing.T) {
	c := small(t)
	namespace := "shop"
	c.Env.Flags.Namespace = &namespace
	refused := apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupName, Resource: "retrypolicies"}, "", nil)
	c.Client = interceptor.NewClient(c.Client, interceptor.Funcs{
		List: func(ctx context.Context, of client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			o := client.ListOptions{}
			o.ApplyOptions(opts)
			if _, own := list.(*v1alpha1.RetryPolicyList); !own && strings.Contains(strings.ToLower(o.Namespace), "shop") || own && o.Namespace == "shop" {
				return of.List(ctx, list, opts...)
			}
			return refused
		},
	})
	s := c.Source()
	watched(t, s)
	got := ask(t, s.Policies)
	if len(got.Items) != 4 || !strings.Contains(strings.Join(got.Notes, " "), "namespace shop alone") || !strings.Contains(strings.Join(got.Notes, " "), "forbidden") {
		t.Errorf("%d policies, notes %q", len(got.Items), got.Notes)
	}
	if o := ask(t, func(ctx context.Context) (*model.Overview, error) {
		return s.Overview(ctx, dashboard.OverviewQuery{Since: time.Minute, Limit: 1})
	}); len(o.Notes) == 0 || o.Flows == nil || o.Series.Points == nil {
		t.Errorf("%+v", o)
	}
}

// Who may list one kind of policies sees the pages of those. Of others it is said why they cannot be found.
func TestRightsForOneKind(t *testing.T) {
	c := small(t)
	c.Client = interceptor.NewClient(c.Client, interceptor.Funcs{
		List: func(ctx context.Context, of client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, is := list.(*v1alpha1.RetryPolicyList); is {
				return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupName, Resource: "retrypolicies"}, "", nil)
			}
			return of.List(ctx, list, opts...)
		},
	})
	s := c.Source()
	watched(t, s)
	if p := ask(t, func(ctx context.Context) (*model.Policy, error) { return s.Policy(ctx, "guard", time.Minute) }); p.Key != "guard" {
		t.Errorf("%+v", p)
	}
	if _, err := s.Policy(t.Context(), "shop/backend-0", time.Minute); err == nil || !strings.Contains(err.Error(), "is forbidden") {
		t.Errorf("a policy that may not be listed: %v", err)
	}
}
