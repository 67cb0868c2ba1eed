package routes

import (
	"fmt"
	"strings"

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

// Fits reports whether a value of the field is one that is meant.
func (m *headerMatch) Fits(value []byte) bool {
	switch m.kind {
	case policy.ValueAny:
		return true
	case policy.ValueExact:
		return string(value) == m.value
	case policy.ValuePrefix:
		return len(value) >= len(m.value) && string(value[:len(m.value)]) == m.value
	case policy.ValueRegularExpression:
		return m.pattern.Fits(value)
	}
	return false
}
