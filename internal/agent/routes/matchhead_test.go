package routes

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// given is a head of a request.
type given struct {
	host   string
	fields [][2]string
}

func (g *given) Host() []byte { return []byte(g.host) }

func (g *given) AnyHeader(lower string, value interface{ Fits(text []byte) bool }) bool {
	return slices.ContainsFunc(g.fields, func(f [2]string) bool { return strings.EqualFold(f[0], lower) && value.Fits([]byte(f[1])) })
}

// fits is what the description of a match says, in the plainest way.
func fits(m *policy.RequestMatch, q *Request, g *given) bool {
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, string(q.Method)) {
		return false
	}
	whole := func(expr, text string) bool { return regexp.MustCompile(`\A(?:` + expr + `)\z`).MatchString(text) }
	path := string(q.Path)
	switch m.PathType {
	case policy.PathExact:
		if path != m.Path {
			return false
		}
	case policy.PathPrefix:
		if p := strings.TrimRight(m.Path, "/"); path != p && !strings.HasPrefix(path, p+"/") {
			return false
		}
	case policy.PathRegularExpression:
		if len(path) > policy.MaxPatternInput || !whole(m.Path, path) {
			return false
		}
	case policy.PathGRPC:
		service, method, _ := strings.Cut(m.Path, "/")
		parts := strings.Split(path, "/")
		if !q.GRPC || len(parts) != 3 || service != "*" && parts[1] != service || method != "*" && parts[2] != method {
			return false
		}
	case policy.PathAny:
	}
	name, _, _ := strings.Cut(strings.ToLower(g.host), ":")
	name = strings.TrimSuffix(name, ".")
	if suffix, wild := strings.CutPrefix(m.Host, "*"); m.Host != "" && (wild && (!strings.HasSuffix(name, suffix) || name == suffix) || !wild && name != m.Host) {
		return false
	}
	for _, h := range m.Headers {
		any, left := false, policy.MaxPatternInput
		for _, f := range g.fields {
			if !strings.EqualFold(f[0], h.Name) {
				continue
			}
			switch h.Type {
			case policy.ValueAny:
				any = true
			case policy.ValueExact:
				any = any || f[1] == h.Value
			case policy.ValuePrefix:
				any = any || strings.HasPrefix(f[1], h.Value)
			case policy.ValueRegularExpression:
				if len(f[1]) <= left {
					left -= len(f[1]) + 1
					any = any || whole(h.Value, f[1])
				}
			}
		}
		if !any {
			return false
		}
	}
	return true
}

// Rules find what the plain model finds, whatever the matches and the requests.
func TestRulesMatchAsDescribed(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 4))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	long := strings.Repeat("a", policy.MaxPatternInput)
	match := func() policy.RequestMatch {
		m := policy.RequestMatch{PathType: policy.PathMatch(r.IntN(5))}
		switch m.PathType {
		case policy.PathGRPC:
			m.Path = pick("*/get", "s.A/*", "s.A/get", "s.B/get")
		case policy.PathRegularExpression:
			m.Path = pick("/a", "/[ab]", "/.*", "/a|/b", "/(a|b)/x?", ".*a{2}")
		case policy.PathAny, policy.PathExact, policy.PathPrefix:
			m.Path = pick("/", "/a", "/a/", "/a/b", "/s.A/get")
		}
		if r.IntN(3) == 0 {
			m.Methods = [][]string{{"GET"}, {"POST", "PUT"}}[r.IntN(2)]
		}
		m.Host = pick("", "", "", "a.example", "*.example", "*.a.example")
		for range r.IntN(3) {
			h := policy.RequestHeader{Name: pick("x", "y"), Type: policy.ValueMatch(r.IntN(4))}
			switch h.Type {
			case policy.ValueRegularExpression:
				h.Value = pick("[ab]", "a|b", "a.*", "")
			case policy.ValueExact, policy.ValuePrefix:
				h.Value = pick("a", "ab", "b", "")
			case policy.ValueAny:
			}
			m.Headers = append(m.Headers, h)
		}
		return m
	}
	found := 0
	for range 20_000 {
		m := match()
		c, err := compileMatch(&m)
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		for range 10 {
			g := &given{host: pick("", "a.example", "A.Example:8080", "b.a.example.", "example", "other")}
			for range r.IntN(4) {
				g.fields = append(g.fields, [2]string{pick("X", "x", "Y", "z"), pick("", "a", "ab", "b", "A", long, long+"a")})
			}
			q := &Request{Method: []byte(pick("GET", "POST", "get")), GRPC: r.IntN(2) == 0, Head: g}
			q.Path = []byte(pick("/", "/a", "/b", "/a/b", "/ab", "/a/", "/s.A/get", "/s.B/put", "/"+long, "*", ""))
			want := fits(&m, q, g)
			if got := c.matches(q); got != want {
				t.Fatalf("%+v matches %s %.40q for %q with %.60q: %v", m, q.Method, q.Path, g.host, g.fields, got)
			}
			if want {
				found++
			}
		}
	}
	if found < 10_000 {
		t.Errorf("only %d requests have matched: the test shows nothing", found)
	}
}

func ruledByHead() policy.Binding {
	b := binding("k", policy.Target{Kind: policy.TargetAny})
	b.Rules = []policy.Rule{
		{Name: "host", Settings: b.Base, Match: []policy.RequestMatch{{Host: "*.example"}}},
		{Name: "header", Settings: b.Base, Match: []policy.RequestMatch{{Headers: []policy.RequestHeader{{Name: "X-Tier", Type: policy.ValueRegularExpression, Value: "gold|silver"}}}}},
	}
	return b
}

func TestARequestIsLookedAtAsFarAsRulesGoByIt(t *testing.T) {
	s := newTable(t)
	install(t, s, snapshot(ruledByHead()))
	route := routeTo(t, s, "a", "192.0.2.1:80")
	if !route.LooksAtHeads() || route.NamesGRPC() {
		t.Error("nobody looks at the heads of requests, or somebody looks for gRPC")
	}
	gold := &given{host: "other", fields: [][2]string{{"x-tier", "gold"}}}
	if got := route.PlanFor(&Request{Head: gold}).Rule; got != "header" {
		t.Errorf("rule %q", got)
	}
	if got := route.PlanFor(&Request{Head: &given{host: "a.example"}}).Rule; got != "host" {
		t.Errorf("rule %q", got)
	}
	if got := route.Plan([]byte("GET"), []byte("/")).Rule; got != "" {
		t.Errorf("a request of which no head is known is governed by rule %q", got)
	}
}

// A client that repeats a field has no more text compared with a regular expression than one that sends it once.
func TestRepeatedFieldsAreComparedInBounds(t *testing.T) {
	m := policy.RequestMatch{Headers: []policy.RequestHeader{{Name: "x", Type: policy.ValueRegularExpression, Value: "a+|b"}}}
	c, err := compileMatch(&m)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		before [][2]string
		fits   bool
	}{
		"others before it":       {slices.Repeat([][2]string{{"x", "c"}}, 100), true},
		"one too long before it": {[][2]string{{"x", strings.Repeat("c", policy.MaxPatternInput+1)}}, true},
		"a long one before it":   {[][2]string{{"x", strings.Repeat("c", policy.MaxPatternInput)}}, false},
		"many before it":         {slices.Repeat([][2]string{{"x", "c"}}, policy.MaxPatternInput/2), false},
		"many empty ones":        {slices.Repeat([][2]string{{"x", ""}}, policy.MaxPatternInput), false},
	} {
		q := &Request{Head: &given{fields: append(tc.before, [2]string{"x", "b"})}}
		if got := c.matches(q); got != tc.fits {
			t.Errorf("%s: %v", name, got)
		}
	}
	q := &Request{Head: &given{fields: [][2]string{{"x", strings.Repeat("a", policy.MaxPatternInput)}}}}
	if !c.matches(q) {
		t.Error("the longest text does not fit")
	}
}

func TestMatchesThatAreNoneAreRefused(t *testing.T) {
	for name, m := range map[string]policy.RequestMatch{
		"a path":            {PathType: policy.PathRegularExpression, Path: "("},
		"a value":           {Headers: []policy.RequestHeader{{Name: "x", Type: policy.ValueRegularExpression, Value: "("}}},
		"a large path":      {PathType: policy.PathRegularExpression, Path: "[a-z]{999}"},
		"an unknown value":  {Headers: []policy.RequestHeader{{Name: "x", Type: 9}}},
		"an unknown path":   {PathType: 99},
		"a half gRPC match": {PathType: policy.PathGRPC, Path: "a"},
	} {
		if _, err := compileMatch(&m); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func BenchmarkPlanFor(b *testing.B) {
	head := &given{host: "other", fields: [][2]string{{"accept", "*/*"}, {"x-tier", "silver"}}}
	for name, rules := range map[string]policy.Binding{"none": binding("k", policy.Target{Kind: policy.TargetAny}), "by head": ruledByHead()} {
		s := newTable(b)
		install(b, s, snapshot(rules))
		route := routeTo(b, s, "a", "192.0.2.1:80")
		q := &Request{Method: []byte("GET"), Path: []byte("/v1/users/12"), Head: head}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				route.PlanFor(q)
			}
		})
	}
}
