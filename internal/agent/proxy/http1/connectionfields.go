package http1

import (
	"slices"

	"fairlead.dev/fairlead/internal/agent/proxy/syntax"
)

const (
	// fewNominations is how many are compared one after the other; more of them are sorted first.
	fewNominations = 16
	// keptNominations is for how many memory is kept from one message to the next.
	keptNominations = 64
)

// nominations are the fields that Connection names, beyond the options that the codec knows: they end here (RFC 9110 section
// 7.6.1). Their number is bounded by the size of the head alone, and so is the work: a head with n of them and m fields costs
// (n+m)·log n comparisons.
type nominations struct {
	spans []span
}

func (n *nominations) add(s span) { n.spans = append(n.spans, s) }

func (n *nominations) none() bool { return len(n.spans) == 0 }

func (n *nominations) reset() {
	if cap(n.spans) > keptNominations {
		n.spans = nil
	}
	n.spans = n.spans[:0]
}

// prepare makes the nominations of the complete head ready to be looked up.
func (n *nominations) prepare(h *Head) {
	if len(n.spans) > fewNominations {
		n.sort(h)
	}
}

func (n *nominations) sort(h *Head) {
	slices.SortFunc(n.spans, func(a, b span) int { return compareFold(h.slice(a), h.slice(b)) })
}

// has reports whether a field is named by the Connection of head h.
func (n *nominations) has(h *Head, name []byte) bool {
	if len(n.spans) > fewNominations {
		_, found := slices.BinarySearchFunc(n.spans, name, func(s span, name []byte) int { return compareFold(h.slice(s), name) })
		return found
	}
	for _, s := range n.spans {
		if syntax.EqualFoldBytes(name, h.slice(s)) {
			return true
		}
	}
	return false
}

// hasLower is has for a name in lower case.
func (n *nominations) hasLower(h *Head, lower string) bool {
	for _, s := range n.spans {
		if syntax.EqualFold(h.slice(s), lower) {
			return true
		}
	}
	return false
}

// compareFold orders names without regard to case.
func compareFold(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if d := int(syntax.Lower(a[i])) - int(syntax.Lower(b[i])); d != 0 {
			return d
		}
	}
	return len(a) - len(b)
}
