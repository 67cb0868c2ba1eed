package policy

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// TestTablesAgreeWithRegexp compares tables with package regexp, over expressions and texts drawn at random.
func TestTablesAgreeWithRegexp(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 2026))
	tables, fitting, beyond := 0, 0, 0
	for range 3000 {
		expr := randomExpr(random, 4)
		p, err := CompilePattern(expr)
		if err != nil {
			t.Fatal(err)
		}
		if p.table == nil {
			continue
		}
		tables++
		whole := regexp.MustCompile("^(?:" + expr + ")$")
		for range 30 {
			text := randomText(random)
			fits, known := p.table.fits(text)
			if !known {
				beyond++
				continue
			}
			if want := whole.Match(text); fits != want {
				t.Fatalf("%q fits %q: %v, want %v", expr, text, fits, want)
			}
			if fits {
				fitting++
			}
		}
	}
	if tables < 1000 || fitting < 1000 || beyond < 100 {
		t.Errorf("%d tables, %d texts that fit, %d that ASCII does not decide", tables, fitting, beyond)
	}
}

func randomExpr(random *rand.Rand, depth int) string {
	atoms := []string{"a", "b", "/", "A", ".", "[ab]", "[^a/]", "[0-9]", `\d`, `\w`, `\n`, "é", "[a-é]", "(?i:ab)", "(?i:k)", "(?s:.)", "^", "$", `\b`}
	if depth == 0 {
		return atoms[random.IntN(len(atoms)-3*random.IntN(2))]
	}
	sub := func() string { return randomExpr(random, depth-1) }
	switch random.IntN(8) {
	case 0:
		return "(?:" + sub() + "|" + sub() + ")"
	case 1:
		return "(" + sub() + ")" + []string{"*", "+", "?", "{0,3}", "*?"}[random.IntN(5)]
	case 2, 3, 4:
		return sub() + sub()
	}
	return randomExpr(random, 0)
}

func randomText(random *rand.Rand) []byte {
	pieces := []string{"a", "a", "b", "b", "/", "A", "B", "0", "k", "K", "\n", " ", "_", "é", "\xff"}
	var text strings.Builder
	for range random.IntN(7) {
		text.WriteString(pieces[random.IntN(len(pieces)-2*random.IntN(2))])
	}
	return []byte(text.String())
}

func TestTablesAreBounded(t *testing.T) {
	for expr, want := range map[string]bool{
		"/((some|other)/.*)?": true,
		"/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[a-z0-9-]{1,63}": true,
		"(a|b)*a(a|b){40}": false, // 2^40 states
		"a$b|^a":           false, // the place in the text matters
	} {
		p, err := CompilePattern(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.table != nil; got != want {
			t.Errorf("%q has a table: %v", expr, got)
		}
		if p.table != nil && len(p.table.next) > maxTable+0x80 {
			t.Errorf("%q: %d bytes", expr, len(p.table.next))
		}
	}
}
