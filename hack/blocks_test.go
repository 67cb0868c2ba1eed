package hack_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	blockRow  = regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9]+)` \\| \\[[^]]+\\]\\(([^)#]+)#?([^)]*)\\)")
	fieldRow  = regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9]+)`")
	heading   = regexp.MustCompile(`^(#+) (.*)`)
	yamlFence = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// sectionSays is what each section says.
var sectionSays = map[string]*regexp.Regexp{
	"when to use it":   regexp.MustCompile(`\bUse `),
	"what callers see": regexp.MustCompile(`Callers see`),
	"where it shows":   regexp.MustCompile(`status|fairlead_|access log|kubectl get`),
	"what it does where bytes are passed through": regexp.MustCompile(`passed through|protocol|whatever calls speak`),
}

// TestEveryBlockHasASection: the index has a row for every field of a policy's spec, which leads to a section that says when to use it, shows it in a policy
// (test/apivalidation applies that), and says what callers see, where it shows, and what it does on which protocol.
func TestEveryBlockHasASection(t *testing.T) {
	rows := map[string]bool{}
	for _, m := range blockRow.FindAllStringSubmatch(read(t, "docs/README.md"), -1) {
		block, page, anchor := m[1], filepath.Join("docs", m[2]), m[3]
		rows[block] = true
		text := section(read(t, page), anchor)
		if text == "" {
			t.Errorf("%s: %s has no section #%s", block, page, anchor)
			continue
		}
		for what, says := range sectionSays {
			if !says.MatchString(strings.Join(strings.Fields(text), " ")) {
				t.Errorf("%s: %s#%s does not say %s", block, page, anchor, what)
			}
		}
		shows := func(f []string) bool { return regexp.MustCompile(`\b` + block + `:`).MatchString(f[1]) }
		if !slices.ContainsFunc(yamlFence.FindAllStringSubmatch(text, -1), shows) {
			t.Errorf("%s: %s#%s shows no policy with it", block, page, anchor)
		}
	}
	api := read(t, "docs/reference/api.md")
	for _, resource := range []string{"retrypolicyspec", "clusterretrypolicyspec"} {
		for _, m := range fieldRow.FindAllStringSubmatch(section(api, resource), -1) {
			if field := m[1]; !rows[field] && field != "defaults" && field != "overrides" { // which hold the same blocks
				t.Errorf("docs/README.md has no row for %s", field)
			}
		}
	}
}

// section returns the part of a page below a heading, up to the next one that is not deeper; the whole page for no anchor.
func section(page, anchor string) string {
	if anchor == "" {
		return page
	}
	var out strings.Builder
	depth := 0
	for line := range strings.Lines(page) {
		if m := heading.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			switch {
			case depth > 0 && len(m[1]) <= depth:
				return out.String()
			case depth == 0 && slug(m[2]) == anchor:
				depth = len(m[1])
			}
		}
		if depth > 0 {
			out.WriteString(line)
		}
	}
	return out.String()
}

// slug is the anchor that a heading has on GitHub.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// TestAnchorsInTheDocsExist: links to a section lead to one.
func TestAnchorsInTheDocsExist(t *testing.T) {
	for _, page := range tracked(t, "*.md") {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			to := filepath.Join(filepath.Dir(page), m[1])
			if m[2] == "" || strings.Contains(m[1], "://") || filepath.Ext(to) != ".md" {
				continue
			}
			if section(read(t, to), strings.TrimPrefix(m[2], "#")) == "" {
				t.Errorf("%s links to %s%s, which is no heading", page, m[1], m[2])
			}
		}
	}
}
