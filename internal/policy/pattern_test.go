package policy

import (
	"strings"
	"testing"
)

func TestPatternsFitWholeTexts(t *testing.T) {
	for _, tc := range []struct {
		expr, text string
		want       bool
	}{
		{"/v1/[0-9]+", "/v1/12", true},
		{"/v1/[0-9]+", "/v1/12/", false},
		{"/v1/[0-9]+", "/a/v1/12", false},
		{"a|b", "ab", false}, // alternatives are bounded by both ends
		{"a|b", "b", true},
		{"^a$", "a", true},
		{"(?i)gold", "GOLD", true},
		{"(?m)a$", "a\nb", false},
		{"a", "a\n", false},
		{".*", "", true},
		{".*", "\xff", true},
		{".*", strings.Repeat("a", MaxPatternInput), true},
		{".*", strings.Repeat("a", MaxPatternInput+1), false},
	} {
		p, err := CompilePattern(tc.expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Fits([]byte(tc.text)); got != tc.want {
			t.Errorf("%q fits %.20q: %v", tc.expr, tc.text, got)
		}
	}
}

func TestPatternsAreBounded(t *testing.T) {
	for expr, want := range map[string]string{
		"(":                       "missing closing )",
		"a)(b":                    "unexpected )",
		"(?=a)":                   "invalid or unsupported Perl syntax",
		"(a{100}){100}":           "repeat count",
		"[0-9a-f]{400}[g-z]{400}": "at most 500 are allowed",
	} {
		if _, err := CompilePattern(expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want one that says %q", expr, err, want)
		}
	}
	if _, err := CompilePattern("/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[a-z0-9-]{1,63}"); err != nil {
		t.Error(err)
	}
}

// patterns are one for each way in which package regexp matches, which it is left to where a text is not all ASCII.
var patterns = map[string]string{
	"one pass":  "/v1/users/[0-9]+/orders",
	"backtrack": "/v1/.*/(orders|.*bills)",
	"large":     "(/[a-z]{1,20}|/[a-z0-9]{1,20}|/[a-z-]{1,20})*/x",
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector, pools forget what they are given")
	}
	for name, expr := range patterns {
		p, err := CompilePattern(expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"/v1/users/12345/orders", "/v1/users/12345é", strings.Repeat("/abcdefg", 512)} {
			b := []byte(text)
			if n := testing.AllocsPerRun(100, func() { p.Fits(b) }); n >= 1 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	for name, expr := range patterns {
		p, err := CompilePattern(expr)
		if err != nil {
			b.Fatal(err)
		}
		for size, text := range map[string]string{"short": "/v1/users/12345/orders", "long": strings.Repeat("/abcdefg", 512)} {
			text := []byte(text)
			b.Run(name+"/"+size, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p.Fits(text)
				}
			})
		}
	}
}
