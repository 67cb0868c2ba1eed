package routes

import (
	"fmt"
	"strings"
	"sync"

	"fairlead.dev/fairlead/internal/policy"
)

// headerMatch is a policy.RequestHeader ready for use.
type headerMatch struct {
	name    string // lower case
	kind    policy.ValueMatch
	value   string
	pattern *policy.Pattern
}

func compileHeader(h *policy.RequestHeader) (headerMatch, error) {
	c := headerMatch{name: strings.ToLower(h.Name), kind: h.Type, value: h.Value}
	switch h.Type {
	case policy.ValueAny, policy.ValueExact, policy.ValuePrefix:
	case policy.ValueRegularExpression:
		pattern, err := policy.CompilePattern(h.Value)
		if err != nil {
			return c, fmt.Errorf("header %s: %w", h.Name, err)
		}
		c.pattern = pattern
	default:
		return c, fmt.Errorf("value match %d is not known", h.Type)
	}
	return c, nil
}

// isIn reports whether a head has the field with a value that is meant.
func (m *headerMatch) isIn(h Head) bool {
	if m.kind != policy.ValueRegularExpression {
		return h.AnyHeader(m.name, m)
	}
	p := patternsOfValues.Get().(*valuesPattern)
	p.Pattern, p.left = m.pattern, policy.MaxPatternInput
	fits := h.AnyHeader(m.name, p)
	patternsOfValues.Put(p)
	return fits
}

// Fits reports whether a value of the field is one that is meant, where that is not said by a regular expression.
func (m *headerMatch) Fits(value []byte) bool {
	switch m.kind {
	case policy.ValueAny:
		return true
	case policy.ValueExact:
		return string(value) == m.value
	case policy.ValuePrefix:
		return len(value) >= len(m.value) && string(value[:len(m.value)]) == m.value
	case policy.ValueRegularExpression:
	}
	return false
}

// valuesPattern compares the values of one field with a regular expression. All of them together are bounded as one text is: how often a field stands
// in a head is the client's to choose, and must not decide how long a request takes.
type valuesPattern struct {
	*policy.Pattern

	left int // bytes; each value takes one more than its own
}

var patternsOfValues = sync.Pool{New: func() any { return new(valuesPattern) }}

// Fits reports whether a value fits that comes next.
func (p *valuesPattern) Fits(value []byte) bool {
	if len(value) > p.left {
		return false
	}
	p.left -= len(value) + 1
	return p.Pattern.Fits(value)
}
