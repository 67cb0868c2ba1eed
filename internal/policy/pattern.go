package policy

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

const (
	// MaxPatternSize is how many instructions the program of a regular expression may have. What a match costs grows with it.
	MaxPatternSize = 500
	// MaxPatternInput is the longest text, in bytes, that a regular expression is matched with. It fits no longer one.
	MaxPatternInput = 4096
)

// Pattern is a regular expression (RE2) that fits a text as a whole. It takes time in proportion to the text and to its program, both of which
// are bounded.
type Pattern struct {
	expr  *regexp.Regexp
	table *table // what decides faster, of most texts; nil: nothing does
	size  int
}

// CompilePattern returns the pattern of a regular expression. The error is a phrase for users.
func CompilePattern(expr string) (*Pattern, error) {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression of RE2: %w", expr, err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression of RE2: %w", expr, err)
	}
	if n := len(program.Inst); n > MaxPatternSize {
		return nil, fmt.Errorf("%q makes %d instructions, and at most %d are allowed: repeat less, or match a prefix", expr, n, MaxPatternSize)
	}
	whole, err := regexp.Compile("^(?:" + expr + ")$")
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression of RE2: %w", expr, err)
	}
	return &Pattern{whole, newTable(program), len(program.Inst)}, nil
}

// Size is how many instructions the pattern's program has.
func (p *Pattern) Size() int { return p.size }

// Fits reports whether the pattern fits a text.
func (p *Pattern) Fits(text []byte) bool {
	if len(text) > MaxPatternInput {
		return false
	}
	if p.table != nil {
		if fits, known := p.table.fits(text); known {
			return fits
		}
	}
	return p.expr.Match(text)
}
