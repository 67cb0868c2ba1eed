package compile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// MaxForced is how far ahead the end of what is forced may be.
const MaxForced = 24 * time.Hour

// forcedSlack is how much further it may be: who writes the annotation has another clock.
const forcedSlack = 5 * time.Minute

// Forced is what the annotation about the circuit breakers of a policy says.
type Forced struct {
	policy.ForcedBreaker
	// Entry is the entry of to whose breakers are meant, or -1 for all.
	Entry int
	// By is the field manager that wrote the annotation, empty if that is not known.
	By string
	// Problem is a sentence about what is wrong with the annotation, empty if nothing is.
	Problem string
}

// forcedForm is the form of the annotation: "open until 2026-11-27T10:00:00Z", "closed to[1] until 2026-11-27T10:00:00+02:00".
var forcedForm = regexp.MustCompile(`^(open|closed)(?: to\[([0-9]{1,2})\])? until (\S+)$`)

const forcedHelp = `write "open until 2026-11-27T10:00:00Z", "closed until …", or "open to[1] until …" for one entry of to`

// ForcedOf reads the annotation of a policy. One whose time is over says nothing.
func ForcedOf(m *metav1.ObjectMeta, now time.Time) Forced {
	text, there := m.Annotations[v1alpha1.AnnotationCircuitBreaker]
	if !there {
		return Forced{}
	}
	by, begun := annotator(m)
	f := Forced{Entry: -1, By: by}
	refuse := func(format string, args ...any) Forced {
		return Forced{Entry: -1, By: by, Problem: fmt.Sprintf("The annotation "+v1alpha1.AnnotationCircuitBreaker+" "+format, args...)}
	}
	parts := forcedForm.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return refuse("is %q: %s.", shortened(text), forcedHelp)
	}
	until, err := time.Parse(time.RFC3339, parts[3])
	if err != nil {
		return refuse("ends at %q, which is no time with a date and a zone (RFC 3339): %s.", shortened(parts[3]), forcedHelp)
	}
	if begun.IsZero() || begun.After(now) {
		begun = now
	}
	switch until = until.Truncate(time.Second).UTC(); {
	case !until.After(now):
		return Forced{}
	case until.Sub(begun) > MaxForced+forcedSlack:
		return refuse("ends at %s, more than 24 hours after it was written: write a time before %s, and write the annotation again if that is too soon.",
			until.Format(time.RFC3339), begun.Add(MaxForced).UTC().Format(time.RFC3339))
	}
	if parts[2] != "" {
		f.Entry, _ = strconv.Atoi(parts[2])
	}
	f.ForcedBreaker = policy.ForcedBreaker{Open: parts[1] == "open", Until: until.Unix()}
	return f
}

func shortened(s string) string { return s[:min(len(s), 64)] }

// annotator returns who wrote the annotation about circuit breakers, and when that manager wrote last.
func annotator(m *metav1.ObjectMeta) (by string, at time.Time) {
	for i := range m.ManagedFields {
		f := &m.ManagedFields[i]
		if f.FieldsV1 == nil || !OwnsForced(f) {
			continue
		}
		if f.Time != nil && f.Time.After(at) || by == "" {
			by = f.Manager
			if f.Time != nil {
				at = f.Time.Time
			}
		}
	}
	return by, at
}

// OwnsForced reports whether an entry of managedFields has the annotation about circuit breakers.
func OwnsForced(f *metav1.ManagedFieldsEntry) bool {
	return f.FieldsV1 != nil && strings.Contains(string(f.FieldsV1.Raw), `"f:`+v1alpha1.AnnotationCircuitBreaker+`"`)
}

// problems returns what is wrong with f for a policy with so many entries of to.
func (f *Forced) problems(entries int) []Problem {
	if f.Problem != "" {
		return []Problem{{v1alpha1.ReasonInvalid, f.Problem}}
	}
	if f.Set() && f.Entry >= entries {
		return []Problem{{v1alpha1.ReasonInvalid, fmt.Sprintf(
			"The annotation %s names to[%d], and the policy has %d entries of to, counted from 0.", v1alpha1.AnnotationCircuitBreaker, f.Entry, entries)}}
	}
	return nil
}

// covers reports whether f is about the breakers of an entry of to.
func (f *Forced) covers(entry int) bool { return f.Set() && (f.Entry < 0 || f.Entry == entry) }

// takeForced takes what the most significant policy forces.
func (b *compiledBinding) takeForced(covering []policyTarget, port uint16) {
	for i := len(covering) - 1; i >= 0; i-- {
		t := covering[i]
		if t.target.coversPort(port) && t.policy.Forced.covers(t.target.index) {
			b.ForcedBreaker = t.policy.Forced.ForcedBreaker
			return
		}
	}
}
