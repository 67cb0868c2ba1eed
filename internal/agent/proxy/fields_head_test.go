package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"fairlead.dev/fairlead/internal/policy"
)

// ruledByHead is a binding with a rule, by host, header fields and regular expressions, that tries calls thrice instead of twice.
func ruledByHead() policy.Binding {
	b := toAnyH2(func(s *policy.Settings) { s.Retry.On, s.Retry.MaxRetries = policy.Of(policy.GatewayError), 1 })
	thrice := b.Base
	thrice.Retry.MaxRetries = 2
	tier := policy.RequestHeader{Name: "x-tier", Type: policy.ValuePrefix, Value: "go"}
	b.Rules = []policy.Rule{{Name: "thrice", Settings: thrice, Match: []policy.RequestMatch{
		{Host: "*.shop.example", Headers: []policy.RequestHeader{tier, {Name: "x-flag"}}},
		{PathType: policy.PathRegularExpression, Path: "/v[12]/[a-z]+"},
		{Headers: []policy.RequestHeader{{Name: "cookie", Type: policy.ValueRegularExpression, Value: "(.*; )?beta=1(;.*)?"}}},
	}}}
	return b
}

// byHeadCalls are calls under ruledByHead: host, path, header fields, and whether the rule governs them.
var byHeadCalls = map[string]struct {
	host, path string
	fields     [][2]string
	ruled      bool
}{
	"all of it":                  {"api.shop.example", "/", [][2]string{{"x-tier", "gold"}, {"x-flag", ""}}, true},
	"names and hosts by no case": {"API.Shop.Example:80", "/", [][2]string{{"X-Tier", "gold"}, {"X-FLAG", "1"}}, true},
	"one of several fields":      {"a.shop.example", "/", [][2]string{{"x-tier", "iron"}, {"x-flag", "1"}, {"x-tier", "good"}}, true},
	"another host":               {"shop.example", "/", [][2]string{{"x-tier", "gold"}, {"x-flag", ""}}, false},
	"another value":              {"api.shop.example", "/", [][2]string{{"x-tier", "iron"}, {"x-flag", "1"}}, false},
	"a value by its case":        {"api.shop.example", "/", [][2]string{{"x-tier", "Gold"}, {"x-flag", "1"}}, false},
	"a field is missing":         {"api.shop.example", "/", [][2]string{{"x-tier", "gold"}}, false},
	"a path":                     {"a", "/v2/users?v=1", nil, true},
	"a path as a whole":          {"a", "/v2/users/1", nil, false},
	"a path from its start":      {"a", "/api/v2/users", nil, false},
	"a path too long":            {"a", "/v1/" + strings.Repeat("a", policy.MaxPatternInput), nil, false},
	"a cookie":                   {"a", "/", [][2]string{{"cookie", "id=7; beta=1; c=d"}}, true},
	"another cookie":             {"a", "/", [][2]string{{"cookie", "id=7; beta=12"}}, false},
}

func wantByHead(ruled bool) (attempts int64, rule string) {
	if ruled {
		return 3, "thrice"
	}
	return 2, ""
}

// Calls are governed by the rule that their host, their header fields or a regular expression find.
//
//enforces:http1 rules[].match[].host rules[].match[].headers[].name rules[].match[].headers[].type rules[].match[].headers[].value
func TestCallsFindTheirRuleByTheirHead(t *testing.T) {
	for name, tc := range byHeadCalls {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := build(t, counted(t, &n, always(answer(503, ""))), ruledByHead())
			c := w.dial()
			head := "GET " + tc.path + " HTTP/1.1\r\nHost: " + tc.host + "\r\n"
			for _, f := range tc.fields {
				head += f[0] + ": " + f[1] + "\r\n"
			}
			c.send(head + "\r\n")
			c.response("GET")
			want, rule := wantByHead(tc.ruled)
			if got := w.seen.lastCall(t).Rule; n.Load() != want || got != rule {
				t.Errorf("%d attempts under rule %q, want %d under %q", n.Load(), got, want, rule)
			}
		})
	}
}

// A field that Connection names is between the client and the agent, and no rule goes by it.
func TestFieldsThatEndHereFindNoRule(t *testing.T) {
	var n atomic.Int64
	w := build(t, counted(t, &n, always(answer(200, ""))), ruledByHead())
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a.shop.example\r\nx-tier: gold\r\nx-flag: 1\r\nConnection: x-flag\r\n\r\n")
	c.response("GET")
	if got := w.seen.lastCall(t).Rule; got != "" {
		t.Errorf("governed by rule %q", got)
	}
}

//enforces:http2 rules[].match[].host rules[].match[].headers[].name rules[].match[].headers[].type rules[].match[].headers[].value
func TestCallsFindTheirRuleByTheirHeadOverHTTP2(t *testing.T) {
	for name, tc := range byHeadCalls {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			w := buildH2(t, serveH2(t, func(out http.ResponseWriter, _ *http.Request) {
				n.Add(1)
				out.WriteHeader(503)
			}), ruledByHead())
			q, err := http.NewRequestWithContext(t.Context(), "GET", "http://up.example"+tc.path, nil)
			check(t, err)
			q.Host = tc.host
			for _, f := range tc.fields {
				q.Header.Add(f[0], f[1])
			}
			res, err := w.clientH2().Do(q)
			check(t, err)
			res.Body.Close()
			want, rule := wantByHead(tc.ruled)
			if got := w.seen.lastCall(t).Rule; n.Load() != want || got != rule {
				t.Errorf("%d attempts under rule %q, want %d under %q", n.Load(), got, want, rule)
			}
		})
	}
}

//enforces:grpc rules[].match[].host rules[].match[].headers[].name rules[].match[].headers[].type rules[].match[].headers[].value
func TestGRPCCallsFindTheirRuleByTheirHead(t *testing.T) {
	b := toRPC(retryStatuses(unavailable))
	once := b.Base
	once.Retry.MaxRetries = 0
	for _, m := range []policy.RequestMatch{
		{PathType: policy.PathGRPC, Path: "*/UnaryCall", Host: "other.example"},
		{PathType: policy.PathGRPC, Path: "*/UnaryCall", Headers: []policy.RequestHeader{{Name: "x-tenant", Type: policy.ValueExact, Value: "b"}}},
		{PathType: policy.PathGRPC, Path: "*/Other", Headers: []policy.RequestHeader{{Name: "x-tenant"}}},
		{PathType: policy.PathGRPC, Path: "*/UnaryCall", Headers: []policy.RequestHeader{{Name: "x-tenant", Type: policy.ValuePrefix, Value: "a"}}, Host: "up.example"},
	} {
		b.Rules = append(b.Rules, policy.Rule{Name: m.Path + m.Host, Settings: once, Match: []policy.RequestMatch{m}})
	}
	for tenant, want := range map[string]struct {
		rule     string
		attempts int
	}{"acme": {"*/UnaryCallup.example", 1}, "b": {"*/UnaryCall", 1}, "": {"", 3}} {
		w := build(t, serveRPC(t, failing(codes.Unavailable)), b)
		ctx := bound(t)
		if tenant != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-tenant", tenant)
		}
		unaryCall(t, w.clientRPC(), ctx)
		if e := w.seen.lastCall(t); e.Rule != want.rule || len(e.Attempts) != want.attempts {
			t.Errorf("tenant %q: governed by rule %q, %d attempts, want %q and %d", tenant, e.Rule, len(e.Attempts), want.rule, want.attempts)
		}
	}
}
