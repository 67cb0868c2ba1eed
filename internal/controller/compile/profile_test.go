package compile

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// services is a Lookup over a few Services.
func services(name string) (*Service, bool) {
	switch name {
	case "warehouse/inventory", "shop/inventory":
		return &Service{Ports: []ServicePort{{"http", 80}, {"metrics", 9090}}}, true
	case "shop/partner":
		return &Service{External: true}, true
	}
	return nil, false
}

// given builds a policy: "ns/name" in pods of that level, created that many hours after the epoch.
type given struct {
	id      string
	level   Level
	created int
	to      []v1alpha1.Destination
	body    v1alpha1.PolicyBody
}

func (g given) read(t testing.TB) *Policy {
	t.Helper()
	src := Source{ID: policy.ParseID(g.id), Level: g.level, Created: time.Unix(int64(g.created)*3600, 0), To: g.to, Body: &g.body}
	if g.level == LevelPods {
		src.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}}
	}
	p, problems := Read(src, services, NoReferences)
	if problems != nil {
		t.Fatalf("read %s: %v", g.id, problems)
	}
	return p
}

func compileAll(t testing.TB, all ...given) *policy.Profile {
	t.Helper()
	var policies []*Policy
	for _, g := range all {
		policies = append(policies, g.read(t))
	}
	return Compile("p", policies)
}

func host(name string, ports ...int32) v1alpha1.Destination {
	return v1alpha1.Destination{Host: v1alpha1.Host(name), Ports: ports}
}

func service(namespace, name string, port any) v1alpha1.Destination {
	d := &v1alpha1.ServiceDestination{Name: name, Namespace: namespace}
	switch p := port.(type) {
	case int:
		v := intstr.FromInt(p)
		d.Port = &v
	case string:
		v := intstr.FromString(p)
		d.Port = &v
	}
	return v1alpha1.Destination{Service: d}
}

func cidr(block string, except ...string) v1alpha1.Destination {
	return v1alpha1.Destination{CIDR: &v1alpha1.CIDRDestination{Block: block, Except: except}}
}

func anyOf(ports ...int32) v1alpha1.Destination {
	return v1alpha1.Destination{Any: &v1alpha1.AnyDestination{}, Ports: ports}
}

func to(d ...v1alpha1.Destination) []v1alpha1.Destination { return d }

func retries(n int32) v1alpha1.PolicyBody {
	return v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Retry: &v1alpha1.Retry{MaxRetries: &n}}}
}

func perTry(d v1alpha1.Duration) v1alpha1.PolicyBody {
	return v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Timeouts: &v1alpha1.Timeouts{PerTry: d}}}
}

// summary shows bindings in order: target, ports, merged policies, retries, timeout of an attempt.
func summary(p *policy.Profile) []string {
	var out []string
	for _, b := range p.Bindings {
		var merged []string
		for _, id := range b.Merged {
			merged = append(merged, id.String())
		}
		out = append(out, fmt.Sprintf("%s %v <- %s: %d %s", b.To, b.To.Ports, strings.Join(merged, " < "), b.Base.Retry.MaxRetries, b.Base.Timeouts.PerTry))
	}
	return out
}

func TestCompileMergesAndOrders(t *testing.T) {
	tests := map[string]struct {
		give []given
		want []string
	}{
		"levels: defaults < namespace < pods < overrides": {
			give: []given{
				{id: "over", level: LevelOverrides, to: to(anyOf()), body: retries(4)},
				{id: "shop/pods", level: LevelPods, to: to(anyOf()), body: retries(3)},
				{id: "shop/all", level: LevelNamespace, to: to(anyOf()), body: retries(2)},
				{id: "low", level: LevelDefaults, to: to(anyOf()), body: perTry("7s")},
			},
			want: []string{"any [] <- low < shop/all < shop/pods < over: 4 7s"},
		},
		"a broad policy of a later level beats a specific one of an earlier": {
			give: []given{
				{id: "shop/all", level: LevelNamespace, to: to(host("a.example")), body: retries(2)},
				{id: "shop/pods", level: LevelPods, to: to(anyOf()), body: retries(3)},
			},
			want: []string{
				"host a.example [80 443] <- shop/all < shop/pods: 3 0s",
				"any [] <- shop/pods: 3 0s",
			},
		},
		"inside a level the more specific destination wins, most specific binding first": {
			give: []given{
				{id: "shop/any", level: LevelNamespace, to: to(anyOf()), body: retries(0)},
				{id: "shop/star", level: LevelNamespace, to: to(host("*")), body: retries(1)},
				{id: "shop/wild", level: LevelNamespace, to: to(host("*.example")), body: retries(2)},
				{id: "shop/longer", level: LevelNamespace, to: to(host("*.a.example")), body: retries(3)},
				{id: "shop/exact", level: LevelNamespace, to: to(host("x.a.example")), body: retries(4)},
				{id: "shop/port", level: LevelNamespace, to: to(host("x.a.example", 80)), body: retries(5)},
			},
			want: []string{
				"host x.a.example [80] <- shop/any < shop/star < shop/wild < shop/longer < shop/exact < shop/port: 5 0s",
				"host x.a.example [443] <- shop/any < shop/star < shop/wild < shop/longer < shop/exact: 4 0s",
				"host *.a.example [80 443] <- shop/any < shop/star < shop/wild < shop/longer: 3 0s",
				"host *.example [80 443] <- shop/any < shop/star < shop/wild: 2 0s",
				"host * [80 443] <- shop/any < shop/star: 1 0s",
				"any [] <- shop/any: 0 0s",
			},
		},
		"inside a level and destination the older wins, then the name": {
			give: []given{
				{id: "shop/new", level: LevelNamespace, created: 2, to: to(anyOf()), body: retries(2)},
				{id: "shop/old", level: LevelNamespace, created: 1, to: to(anyOf()), body: retries(1)},
				{id: "shop/b", level: LevelNamespace, created: 2, to: to(anyOf()), body: retries(3)},
			},
			want: []string{"any [] <- shop/new < shop/b < shop/old: 1 0s"},
		},
		"services by port, by name and as a whole": {
			give: []given{
				{id: "shop/svc", level: LevelNamespace, to: to(service("warehouse", "inventory", nil)), body: retries(1)},
				{id: "shop/port", level: LevelNamespace, to: to(service("warehouse", "inventory", "metrics")), body: retries(2)},
				{id: "shop/own", level: LevelNamespace, to: to(service("", "inventory", 80)), body: retries(3)},
			},
			want: []string{
				"service shop/inventory [80] <- shop/own: 3 0s",
				"service warehouse/inventory [9090] <- shop/svc < shop/port: 2 0s",
				"service warehouse/inventory [] <- shop/svc: 1 0s",
			},
		},
		"blocks: the longer prefix first, what the wider one excepts is not its": {
			give: []given{
				{id: "shop/wide", level: LevelNamespace, to: to(cidr("10.0.0.0/8", "10.2.0.0/16")), body: perTry("8s")},
				{id: "shop/in", level: LevelNamespace, to: to(cidr("10.1.0.0/16")), body: retries(1)},
				{id: "shop/hole", level: LevelNamespace, to: to(cidr("10.2.3.0/24")), body: retries(2)},
			},
			want: []string{
				"cidr 10.2.3.0/24 [] <- shop/hole: 2 0s",
				"cidr 10.1.0.0/16 [] <- shop/wide < shop/in: 1 8s",
				"cidr 10.0.0.0/8 [] <- shop/wide: 2 8s",
			},
		},
		"ports of a broad destination split a narrow one": {
			give: []given{
				{id: "shop/svc", level: LevelNamespace, to: to(service("warehouse", "inventory", nil)), body: retries(1)},
				{id: "shop/any", level: LevelPods, to: to(anyOf(80)), body: perTry("3s")},
			},
			want: []string{
				"service warehouse/inventory [80] <- shop/svc < shop/any: 1 3s",
				"service warehouse/inventory [] <- shop/svc: 1 0s",
				"any [80] <- shop/any: 2 3s",
			},
		},
		"ports that overlap in part": {
			give: []given{
				{id: "shop/a", level: LevelNamespace, created: 1, to: to(host("h.example", 80, 81)), body: retries(1)},
				{id: "shop/b", level: LevelPods, created: 2, to: to(host("h.example", 81, 82)), body: retries(5)},
			},
			want: []string{
				"host h.example [80] <- shop/a: 1 0s",
				"host h.example [81] <- shop/a < shop/b: 5 0s",
				"host h.example [82] <- shop/b: 5 0s",
			},
		},
		"a policy naming one destination twice counts once": {
			give: []given{{id: "shop/a", level: LevelNamespace, to: to(host("h.example"), host("h.example"), host("*.example")), body: retries(1)}},
			want: []string{
				"host h.example [80 443] <- shop/a: 1 0s",
				"host *.example [80 443] <- shop/a: 1 0s",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, summary(compileAll(t, tc.give...))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCompileIsDeterministic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pool := to(anyOf(), anyOf(80, 8080), host("*"), host("*.example"), host("a.example", 80), host("a.example"), cidr("10.0.0.0/8"),
		cidr("10.1.0.0/16", "10.1.2.0/24"), service("warehouse", "inventory", nil), service("warehouse", "inventory", 80), service("", "inventory", "http"))
	for range 200 {
		var all []*Policy
		for i := range 1 + rng.IntN(6) {
			g := given{id: fmt.Sprintf("shop/p%d", i), level: Level(1 + rng.IntN(2)), created: rng.IntN(3), body: retries(int32(i))}
			for range 1 + rng.IntN(4) {
				g.to = append(g.to, pool[rng.IntN(len(pool))])
			}
			all = append(all, g.read(t))
		}
		want := Compile("p", all)
		keys := map[string]bool{}
		for _, b := range want.Bindings {
			if keys[b.Key] {
				t.Fatalf("key %q appears twice", b.Key)
			}
			keys[b.Key] = true
		}
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if diff := cmp.Diff(want, Compile("p", all), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestKeysAndNamesSurviveEdits(t *testing.T) {
	a := given{id: "shop/a", level: LevelNamespace, to: to(host("a.example"), anyOf()), body: retries(1)}
	b := given{id: "shop/b", level: LevelPods, to: to(host("a.example")), body: retries(2)}
	before := compileAll(t, a, b)
	b.body = perTry("1s")
	a.to = to(anyOf(), host("a.example"), host("new.example"))
	after := compileAll(t, a, b)
	keys := map[string]bool{}
	for _, binding := range after.Bindings {
		keys[binding.Key] = true
	}
	for _, binding := range before.Bindings {
		if !keys[binding.Key] {
			t.Errorf("edit changed key %q", binding.Key)
		}
	}
	ids := []policy.ID{policy.ParseID("shop/b"), policy.ParseID("shop/a"), policy.ParseID("base")}
	if got := ProfileName("", ids); got != "base+shop/a+shop/b" {
		t.Errorf("profile name %q", got)
	}
	for i := range 40 {
		ids = append(ids, policy.ParseID(fmt.Sprintf("shop/very-long-name-%d", i)))
	}
	if got := ProfileName("shop", ids); len(got) > maxName {
		t.Errorf("profile name of %d bytes, want at most %d", len(got), maxName)
	}
}

func TestTrafficIsReportedUnderTheCallersPolicy(t *testing.T) {
	p := compileAll(t,
		given{id: "over", level: LevelOverrides, to: to(anyOf()), body: retries(4)},
		given{id: "shop/pods", level: LevelPods, to: to(host("a.example")), body: retries(3)})
	if got := p.Bindings[0].Policy.String(); got != "shop/pods" {
		t.Errorf("a call governed by both is reported under %s", got)
	}
	if got := p.Bindings[1].Policy.String(); got != "over" {
		t.Errorf("a call governed by the override alone is reported under %s", got)
	}
}

//enforces:agent failurePolicy
func TestFailClosedIfAnyPolicyIs(t *testing.T) {
	closed := v1alpha1.PolicyBody{FailurePolicy: v1alpha1.FailurePolicyClosed}
	open := v1alpha1.PolicyBody{FailurePolicy: v1alpha1.FailurePolicyOpen}
	if p := compileAll(t, given{id: "s/a", level: LevelPods, to: to(host("a")), body: open}, given{id: "s/b", to: to(host("b")), body: closed}); !p.FailClosed {
		t.Error("one policy is Closed, the profile is not")
	}
	if p := compileAll(t, given{id: "s/a", to: to(host("a")), body: open}); p.FailClosed {
		t.Error("the profile is Closed without any policy being so")
	}
}

// QUIC is rejected where the merged policy of a destination says so.
//
//enforces:agent udp443
func TestQUICIsRejectedByDestination(t *testing.T) {
	reject, allow := v1alpha1.PolicyBody{UDP443: v1alpha1.UDP443Reject}, v1alpha1.PolicyBody{UDP443: v1alpha1.UDP443Allow}
	p := compileAll(t, given{id: "s/all", to: to(host("a"), host("b"), host("c")), body: reject}, given{id: "s/a", level: LevelPods, to: to(host("a")), body: allow},
		given{id: "s/b", level: LevelPods, to: to(host("b"))}, given{id: "s/d", to: to(host("d"))})
	got := map[string]bool{}
	for i := range p.Bindings {
		got[p.Bindings[i].To.Host] = p.Bindings[i].RejectQUIC
	}
	if diff := cmp.Diff(map[string]bool{"a": false, "b": true, "c": true, "d": false}, got); diff != "" {
		t.Error(diff)
	}
}

func quotaOf(l v1alpha1.RateLimit) v1alpha1.PolicyBody {
	return v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{RateLimit: &l}}
}

// A limit that the cluster shares belongs to who wrote what it lets start, whatever else is merged.
func TestASharedLimitIsNamedAfterWhoWroteIt(t *testing.T) {
	n := func(v int32) *int32 { return &v }
	quota := quotaOf(v1alpha1.RateLimit{Requests: n(100), Scope: v1alpha1.SharingCluster})
	ruled := quota
	ruled.Rules = []v1alpha1.Rule{
		{Name: "search", Match: []v1alpha1.CallMatch{{Methods: []string{"GET"}}}, CallBlocks: v1alpha1.CallBlocks{RateLimit: &v1alpha1.RateLimit{Requests: n(5)}}},
		{Name: "post", Match: []v1alpha1.CallMatch{{Methods: []string{"POST"}}}, CallBlocks: retries(1).CallBlocks},
	}
	base := given{id: "shop/quota", level: LevelNamespace, to: to(anyOf()), body: quota}
	for name, tc := range map[string]struct {
		give []given
		want []string // of the base, and of the rules
	}{
		"alone":         {[]given{base}, []string{"shop/quota"}},
		"with another":  {[]given{base, {id: "shop/retries", level: LevelPods, to: to(anyOf()), body: retries(3)}}, []string{"shop/quota"}},
		"how to wait":   {[]given{base, {id: "shop/waits", level: LevelPods, to: to(anyOf()), body: quotaOf(v1alpha1.RateLimit{OnLimit: v1alpha1.LimitQueue, MaxWait: "1s"})}}, []string{"shop/quota"}},
		"a part of it":  {[]given{base, {id: "shop/burst", level: LevelPods, to: to(anyOf()), body: quotaOf(v1alpha1.RateLimit{Burst: n(5)})}}, []string{"shop/burst+shop/quota"}},
		"written again": {[]given{base, {id: "shop/other", level: LevelPods, to: to(anyOf()), body: quota}}, []string{"shop/other"}},
		"rules": {[]given{{id: "shop/quota", level: LevelNamespace, to: to(anyOf()), body: ruled}},
			[]string{"shop/quota", "shop/quota rule shop/quota search", "shop/quota"}},
		"rules, and the rate of another": {
			[]given{{id: "shop/quota", level: LevelNamespace, to: to(anyOf()), body: ruled}, {id: "shop/other", level: LevelPods, to: to(anyOf()), body: quota}},
			[]string{"shop/other", "shop/other rule shop/quota search", "shop/other"},
		},
		"not shared": {[]given{{id: "shop/quota", level: LevelNamespace, to: to(anyOf()), body: quotaOf(v1alpha1.RateLimit{Requests: n(100)})}}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			b := compileAll(t, tc.give...).Bindings[0]
			got := []string{b.Base.RateLimit.Shared}
			for _, r := range b.Rules {
				got = append(got, r.Settings.RateLimit.Shared)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
