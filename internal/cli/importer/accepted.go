package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubejson "k8s.io/apimachinery/pkg/util/json"
)

// asWritten returns a policy as people write it: without status, and with whole numbers as an API server has them.
func asWritten(policy any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	text, err := json.Marshal(policy)
	if err == nil {
		err = kubejson.Unmarshal(text, &u.Object)
	}
	if err != nil {
		panic(fmt.Sprintf("importer: a policy is not JSON: %v", err)) // its types have tags for it
	}
	delete(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u
}

// keepAccepted leaves out of the policies what an API server would refuse, by check, which returns its error for a policy and may change what it is
// given. What is left out is lost, with the sentence that says why: a match of a rule as a whole, since the rest of it would fit more calls, and a rule
// without matches; otherwise the field. A policy of which nothing that can be left out helps is left out itself.
func (i *Imported) keepAccepted(check func(*unstructured.Unstructured) error) error {
	kept := &Imported{Lost: i.Lost}
	for n, p := range i.Policies {
		lost, accepted, err := acceptable(p, check)
		if err != nil {
			return err
		}
		for _, reason := range lost {
			kept.Lost = append(kept.Lost, Lost{Object: strings.Join(i.From[n], ", "), Reason: reason})
		}
		if accepted {
			kept.Policies, kept.From = append(kept.Policies, p), append(kept.From, i.From[n])
		}
	}
	slices.SortStableFunc(kept.Lost, func(a, b Lost) int { return strings.Compare(a.Object, b.Object) })
	*i = *kept
	return nil
}

// acceptable leaves what is refused out of a policy until the rest is accepted, and says for each part why. Each round makes the policy smaller.
func acceptable(p *unstructured.Unstructured, check func(*unstructured.Unstructured) error) (lost []string, accepted bool, err error) {
	name := fmt.Sprintf("%s %s", p.GetKind(), strings.TrimPrefix(p.GetNamespace()+"/"+p.GetName(), "/"))
	for {
		if err = check(p.DeepCopy()); err == nil {
			return lost, hasSettings(p), nil
		}
		var refused *apierrors.StatusError
		if !errors.As(err, &refused) || refused.ErrStatus.Details == nil || len(refused.ErrStatus.Details.Causes) == 0 {
			return nil, false, fmt.Errorf("check %s: %w", name, err)
		}
		cause := first(refused.ErrStatus.Details.Causes)
		part := refusedPart(p, cause.Field)
		if part == "" {
			return append(lost, fmt.Sprintf("%s would be refused, and is left out: %s", name, sentence(&cause))), false, nil
		}
		lost = append(lost, fmt.Sprintf("%s of %s would be refused, and is left out: %s", part, name, sentence(&cause)))
		p.Object, _ = without(p.Object, steps(part)).(map[string]any)
	}
}

// first is the first cause that is about a field: that others were not looked for is one, too.
func first(causes []metav1.StatusCause) metav1.StatusCause {
	return causes[max(0, slices.IndexFunc(causes, func(c metav1.StatusCause) bool { return strings.HasPrefix(c.Field, "spec.") }))]
}

func sentence(c *metav1.StatusCause) string {
	return c.Field + ": " + strings.TrimSuffix(c.Message, ".")
}

// body is where a policy has its settings.
func body(p *unstructured.Unstructured) (at string, fields map[string]any) {
	for _, at := range []string{"defaults", "overrides"} {
		if fields, ok, _ := unstructured.NestedMap(p.Object, "spec", at); ok {
			return "spec." + at, fields
		}
	}
	fields, _, _ = unstructured.NestedMap(p.Object, "spec")
	return "spec", fields
}

// hasSettings reports whether a policy still says anything of calls.
func hasSettings(p *unstructured.Unstructured) bool {
	_, fields := body(p)
	for name := range fields {
		if !slices.Contains([]string{"to", "podSelector", "namespaceSelector", "mode", "rollout"}, name) {
			return true
		}
	}
	return false
}

var matchOf = regexp.MustCompile(`^(.*\brules\[\d+\])\.match(\[\d+\])?`)

// refusedPart returns the part of a policy to leave out where a field is refused; empty: the policy.
func refusedPart(p *unstructured.Unstructured, field string) string {
	at, _ := body(p)
	if !strings.HasPrefix(field, at+".") || strings.HasPrefix(field, "spec.to") || strings.HasPrefix(field, "spec.podSelector") {
		return ""
	}
	if m := matchOf.FindStringSubmatch(field); m != nil {
		if matches, _ := find(p.Object, steps(m[1]+".match")).([]any); m[2] != "" && len(matches) > 1 {
			return m[0]
		}
		return m[1]
	}
	if rules, _ := find(p.Object, steps(field)).([]any); field == at+".rules" && len(rules) > 0 {
		return fmt.Sprintf("%s[%d]", field, len(rules)-1) // there are too many
	}
	if strings.HasSuffix(field, ".name") {
		return strings.TrimSuffix(field, ".name") // a rule has one
	}
	return present(p, field, at)
}

// present returns a field, or where that is not there what should have it; empty: that is the policy.
func present(p *unstructured.Unstructured, field, at string) string {
	for path := field; path != at && path != ""; {
		if find(p.Object, steps(path)) != nil {
			return path
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return ""
}

// steps are the names and indices of a path, such as spec.rules[0].match.
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// find returns what is at the end of steps; nil: there is nothing.
func find(v any, steps []string) any {
	for _, s := range steps {
		switch of := v.(type) {
		case map[string]any:
			v = of[s]
		case []any:
			n, err := strconv.Atoi(s)
			if err != nil || n >= len(of) {
				return nil
			}
			v = of[n]
		default:
			return nil
		}
	}
	return v
}

// without returns v without what is at the end of steps, and without the blocks that have nothing left then.
func without(v any, steps []string) any {
	switch of := v.(type) {
	case map[string]any:
		if len(steps) == 1 {
			delete(of, steps[0])
			return of
		}
		of[steps[0]] = without(of[steps[0]], steps[1:])
		m, block := of[steps[0]].(map[string]any)
		rules, _ := of["rules"].([]any) // other lists say something when they are empty
		if block && len(m) == 0 || steps[0] == "rules" && len(rules) == 0 {
			delete(of, steps[0])
		}
	case []any:
		n, _ := strconv.Atoi(steps[0]) // find has found it
		if len(steps) == 1 {
			return slices.Delete(of, n, n+1)
		}
		of[n] = without(of[n], steps[1:])
	}
	return v
}
