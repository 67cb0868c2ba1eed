package importer

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Lost is something that cannot be kept, or that holds in another way.
type Lost struct {
	Object string `json:"object"`
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

// draft is a policy that is being written, from one object.
type draft struct {
	from   string // the object
	name   string
	to     v1alpha1.Destination
	caller string            // namespace of the callers; empty: all
	pods   map[string]string // labels of the callers
	body   v1alpha1.PolicyBody
	// of a route
	parts  []part          // in order; rulesOf makes rules of them
	unsaid *v1alpha1.Retry // what holds of retries where a part says nothing
	// specific: of several parts that fit a request the most specific counts, whichever route it is of, and not the first.
	specific bool
}

// source is an object that is being read.
type source struct {
	tree
	object string // kind namespace/name
	u      *unstructured.Unstructured
	drafts []draft
	lost   []Lost
	// extra is what annotations say for all rules of a route.
	extra v1alpha1.CallBlocks
	// reasons say why fields cannot be kept, by the end of their path without indices; the longest that fits counts.
	reasons map[string]string
}

func newSource(u *unstructured.Unstructured, reasons map[string]string) *source {
	return &source{
		tree: newTree(u.Object), u: u, reasons: reasons, object: u.GetKind() + " " + strings.TrimPrefix(u.GetNamespace()+"/"+u.GetName(), "/"),
	}
}

// lose says that a part cannot be kept, and why.
func (s *source) lose(t tree, reason string, args ...any) {
	t.done()
	s.lost = append(s.lost, Lost{s.object, t.path, fmt.Sprintf(reason, args...)})
}

// differ says that something holds in another way.
func (s *source) differ(field, reason string, args ...any) {
	s.lost = append(s.lost, Lost{s.object, field, fmt.Sprintf(reason, args...)})
}

var indices = regexp.MustCompile(`\[\d+\]`)

// loseUnread lists what was not read, each block that a reason is known for once.
func (s *source) loseUnread(parts ...tree) {
	for _, part := range parts {
		for _, path := range part.unread() {
			field, reason := s.reason(path)
			l := Lost{s.object, field, reason}
			if !slices.Contains(s.lost, l) {
				s.lost = append(s.lost, l)
			}
		}
	}
}

// reason finds why a field cannot be kept, and the field or the block above it that the reason is about.
func (s *source) reason(path string) (field, reason string) {
	parts := strings.Split(path, ".")
	for n := len(parts); n > 0; n-- {
		block := strings.Join(parts[:n], ".")
		plain := indices.ReplaceAllString(block, "")
		for i := range parts[:n] {
			if why, ok := s.reasons[strings.Join(strings.Split(plain, ".")[i:], ".")]; ok {
				return block, why
			}
		}
	}
	return path, "has no counterpart in a RetryPolicy"
}

// duration reads a duration and writes it as the API has it: whole milliseconds, no unit below. Zero, which means none, is "".
func (s *source) duration(t tree) v1alpha1.Duration {
	text := t.text()
	if text == "" {
		return ""
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < 0:
		s.lose(t, "%q is no duration", text)
		return ""
	case d == 0:
		return ""
	case d < time.Millisecond:
		s.differ(t.path, "%s is shorter than a millisecond, which is the shortest there is", text)
		d = time.Millisecond
	}
	return written(d)
}

// written writes a duration in the units of the API.
func written(d time.Duration) v1alpha1.Duration {
	ms := d.Milliseconds()
	if ms%1000 != 0 {
		if ms < 100_000 {
			return v1alpha1.Duration(fmt.Sprintf("%dms", ms))
		}
		return v1alpha1.Duration(fmt.Sprintf("%ds%dms", ms/1000, ms%1000))
	}
	text := d.Truncate(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return v1alpha1.Duration(text)
}

// serviceOf reads a host as Istio and Kubernetes name Services: name, name.namespace, name.namespace.svc.domain.
func serviceOf(host, namespace string) (v1alpha1.ServiceDestination, bool) {
	parts := strings.Split(host, ".")
	switch {
	case len(parts) == 1:
		return v1alpha1.ServiceDestination{Name: parts[0], Namespace: namespace}, true
	case len(parts) == 2 && !strings.Contains(host, "*"), len(parts) > 2 && parts[2] == "svc":
		return v1alpha1.ServiceDestination{Name: parts[0], Namespace: parts[1]}, true
	}
	return v1alpha1.ServiceDestination{}, false
}

// ruleName makes a rule's name of what a route calls it, or of its place.
func ruleName(name string, i int) string {
	name = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-")
	return cmp.Or(name[:min(len(name), 63)], fmt.Sprintf("rule-%d", i+1))
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// distinct gives rules of one name names of their own.
func distinct(rules []v1alpha1.Rule) {
	seen := map[string]bool{}
	for i := range rules {
		name := rules[i].Name
		for n := 2; seen[name]; n++ {
			end := fmt.Sprintf("-%d", n)
			name = rules[i].Name[:min(len(rules[i].Name), 63-len(end))] + end
		}
		seen[name], rules[i].Name = true, name
	}
}

// uniqueName returns a name that no other policy of the namespace has been given.
func uniqueName(names map[string]int, namespace, name string) string {
	key := namespace + "/" + name
	names[key]++
	if n := names[key]; n > 1 {
		return fmt.Sprintf("%s-%d", name, n)
	}
	return name
}
