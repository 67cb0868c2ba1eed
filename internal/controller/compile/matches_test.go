package compile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

func TestMatchesAreCompiled(t *testing.T) {
	header := v1alpha1.RequestHeaderMatch{Name: "X-Tier", Value: "gold"}
	typed := func(t v1alpha1.HeaderMatchType) v1alpha1.RequestHeaderMatch {
		h := header
		h.Type = t
		return h
	}
	give := []v1alpha1.CallMatch{
		{Methods: []string{"GET"}, Host: "*.example", Path: &v1alpha1.PathMatch{Value: "/a"}},
		{Path: &v1alpha1.PathMatch{Type: v1alpha1.PathRegularExpression, Value: "/a|/b"}},
		{GRPC: &v1alpha1.GRPCMatch{Service: "shop.v1.Inventory"}, Host: "a.example", Headers: []v1alpha1.RequestHeaderMatch{{Name: "X-Any"}}},
		{Headers: []v1alpha1.RequestHeaderMatch{header, typed(v1alpha1.HeaderExact), typed(v1alpha1.HeaderPrefix), typed(v1alpha1.HeaderRegularExpression)}},
	}
	compiled := func(t policy.ValueMatch) policy.RequestHeader {
		return policy.RequestHeader{Name: "x-tier", Type: t, Value: "gold"}
	}
	want := []policy.RequestMatch{
		{Methods: []string{"GET"}, Host: "*.example", PathType: policy.PathPrefix, Path: "/a"},
		{PathType: policy.PathRegularExpression, Path: "/a|/b"},
		{PathType: policy.PathGRPC, Path: "shop.v1.Inventory/*", Host: "a.example", Headers: []policy.RequestHeader{{Name: "x-any"}}},
		{Headers: []policy.RequestHeader{
			compiled(policy.ValueExact), compiled(policy.ValueExact), compiled(policy.ValuePrefix), compiled(policy.ValueRegularExpression),
		}},
	}
	if diff := cmp.Diff(want, matchesOf(give)); diff != "" {
		t.Error(diff)
	}
}

// ruled is a policy for hosts, with a rule of some matches.
func ruled(m ...v1alpha1.CallMatch) Source {
	rule := v1alpha1.Rule{Name: "r", Match: m, CallBlocks: v1alpha1.CallBlocks{Retry: &v1alpha1.Retry{MaxRetries: i32(0)}}}
	return Source{ID: policy.ParseID("shop/p"), To: to(host("*.shop.example"), host("b.example")), Body: &v1alpha1.PolicyBody{Rules: []v1alpha1.Rule{rule}}}
}

func expression(value string) v1alpha1.CallMatch {
	return v1alpha1.CallMatch{Path: &v1alpha1.PathMatch{Type: v1alpha1.PathRegularExpression, Value: value}}
}

func TestExpressionsThatAreNoneAreNotAccepted(t *testing.T) {
	large := strings.Repeat("[a-z]{40}/", 10)
	for name, tc := range map[string]struct {
		give []v1alpha1.CallMatch
		want string
	}{
		"a path":           {[]v1alpha1.CallMatch{expression("/("), expression("/a")}, "rules[r].match[0].path.value: " + `"/(" is no regular expression of RE2: `},
		"a value":          {[]v1alpha1.CallMatch{{Headers: []v1alpha1.RequestHeaderMatch{{Name: "a"}, {Name: "b", Type: v1alpha1.HeaderRegularExpression, Value: "a)"}}}}, "rules[r].match[0].headers[1].value: "},
		"too large":        {[]v1alpha1.CallMatch{expression("[a-z]{999}")}, "at most 500 are allowed"},
		"too many":         {[]v1alpha1.CallMatch{expression(large), expression(large), expression(large), expression(large), expression(large)}, "at most 2000 are allowed"},
		"nothing is wrong": {[]v1alpha1.CallMatch{expression("/v1/[0-9]+")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			src := ruled(tc.give...)
			p, problems := Read(src, services, NoReferences)
			if (p == nil) != (tc.want != "") || len(problems) > 1 || tc.want != "" && !strings.Contains(fmt.Sprint(problems), tc.want) {
				t.Errorf("%v, want one that says %q", problems, tc.want)
			}
			src.Generation, src.InForce = 1, 1
			if last := RestoreLastGood(src, services); (last == nil) != (tc.want != "") {
				t.Errorf("the last good version is %v", last)
			}
		})
	}
}

func TestMatchesThatNothingFitsAreNamed(t *testing.T) {
	of := func(host v1alpha1.Host) v1alpha1.CallMatch { return v1alpha1.CallMatch{Host: host} }
	for name, tc := range map[string]struct {
		give v1alpha1.CallMatch
		want []string
	}{
		"a host of the policy":             {of("b.example"), nil},
		"one below a host of the policy":   {of("a.shop.example"), nil},
		"hosts above one of the policy":    {of("*.example"), nil},
		"hosts below those of the policy":  {of("*.a.shop.example"), nil},
		"another host":                     {of("shop.example"), []string{"rules[r].match[0].host shop.example is none of the hosts in to, so no call fits it."}},
		"a path from its start":            {expression("v1/.*"), []string{`rules[r].match[0].path.value "v1/.*" fits no path: it is compared with the whole path, which starts with a slash.`}},
		"a path":                           {expression("/v1/.*"), nil},
		"a path that starts with anything": {expression(".*/v1"), nil},
	} {
		src := ruled(tc.give)
		if diff := cmp.Diff(tc.want, Warnings(&src)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	src := ruled(of("elsewhere.example"))
	src.To = append(src.To, anyOf())
	if w := Warnings(&src); w != nil {
		t.Errorf("a policy for any destination is warned of: %q", w)
	}
	src = ruled(v1alpha1.CallMatch{Methods: []string{"GET"}})
	src.Body.Retry = &v1alpha1.Retry{AlreadyRetried: v1alpha1.AlreadyRetriedSkip}
	if diff := cmp.Diff([]string{"Rule r: retry.alreadyRetried Skip changes nothing: with retry.maxRetries 0 no call is retried or hedged."}, Warnings(&src)); diff != "" {
		t.Error(diff)
	}
}

func TestAttemptsAndRetriesOfOthersAreCompiled(t *testing.T) {
	yes := true
	body := &v1alpha1.PolicyBody{
		CallBlocks:    v1alpha1.CallBlocks{Retry: &v1alpha1.Retry{AlreadyRetried: v1alpha1.AlreadyRetriedSkip}},
		Observability: &v1alpha1.Observability{RequestHeaders: &v1alpha1.RequestHeaders{Attempt: &yes}},
	}
	if s := settingsOf(body); !s.Retry.SkipRetried || !s.AttemptHeader {
		t.Errorf("%v, %v", s.Retry.SkipRetried, s.AttemptHeader)
	}
	if s := settingsOf(&v1alpha1.PolicyBody{}); s.Retry.SkipRetried || s.AttemptHeader {
		t.Error("what nobody asks for acts")
	}
	later := &v1alpha1.PolicyBody{CallBlocks: v1alpha1.CallBlocks{Retry: &v1alpha1.Retry{AlreadyRetried: v1alpha1.AlreadyRetriedIgnore}}}
	if s := settingsOf(merged(body, later)); s.Retry.SkipRetried || !s.AttemptHeader {
		t.Error("a later policy cannot undo it")
	}
}
