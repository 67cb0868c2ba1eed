package compile

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

var written = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func annotated(text string, managers ...metav1.ManagedFieldsEntry) *metav1.ObjectMeta {
	return &metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationCircuitBreaker: text}, ManagedFields: managers}
}

func manager(name string, at time.Time, fields string) metav1.ManagedFieldsEntry {
	t := metav1.NewTime(at)
	return metav1.ManagedFieldsEntry{Manager: name, Time: &t, FieldsV1: metav1.NewFieldsV1(fields)}
}

const ownsAnnotation = `{"f:metadata":{"f:annotations":{"f:policy.fairlead.dev/circuit-breaker":{}}}}`

func TestTheAnnotationAboutCircuitBreakers(t *testing.T) {
	for text, want := range map[string]Forced{
		"open until 2026-03-01T13:00:00Z":         {ForcedBreaker: policy.ForcedBreaker{Open: true, Until: written.Add(time.Hour).Unix()}, Entry: -1},
		"closed until 2026-03-01T13:00:00+01:00":  {}, // it is over
		"closed until 2026-03-01T14:00:00+01:00":  {ForcedBreaker: policy.ForcedBreaker{Until: written.Add(time.Hour).Unix()}, Entry: -1},
		" open to[1] until 2026-03-02T12:00:00Z ": {ForcedBreaker: policy.ForcedBreaker{Open: true, Until: written.Add(24 * time.Hour).Unix()}, Entry: 1},
		"open until 2026-03-01T12:00:00.9Z":       {}, // whole seconds: over
		"open until 2025-03-01T13:00:00Z":         {},
	} {
		if got := ForcedOf(annotated(text), written); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := ForcedOf(&metav1.ObjectMeta{}, written); got != (Forced{}) {
		t.Errorf("without the annotation: %+v", got)
	}
}

func TestAnAnnotationThatCannotBeReadIsRefusedWithASentence(t *testing.T) {
	for text, says := range map[string]string{
		"":                                      "write \"open until",
		"open":                                  "write \"open until",
		"open for 10m":                          "write \"open until",
		"opened until 2026-03-01T13:00:00Z":     "write \"open until",
		"open to[x] until 2026-03-01T13:00:00Z": "write \"open until",
		"open until tomorrow":                   "no time with a date and a zone",
		"open until 2026-03-01T13:00:00":        "no time with a date and a zone",
		"open until 2026-03-03T12:00:00Z":       "more than 24 hours after it was written: write a time before 2026-03-02T12:00:00Z",
		strings.Repeat("open", 1000):            "write \"open until",
	} {
		f := ForcedOf(annotated(text), written)
		if f.Set() || !strings.Contains(f.Problem, says) || len(f.Problem) > 400 {
			t.Errorf("%q: %+v", text, f)
			continue
		}
		src := Source{ID: policy.ParseID("shop/p"), To: []v1alpha1.Destination{host("a.example")}, Body: &v1alpha1.PolicyBody{}, Forced: f}
		if _, problems := Read(src, services, NoReferences); len(problems) != 1 || problems[0].Reason != v1alpha1.ReasonInvalid {
			t.Errorf("%q: problems %+v", text, problems)
		}
	}
	beyond := ForcedOf(annotated("open to[1] until 2026-03-01T13:00:00Z"), written)
	src := Source{ID: policy.ParseID("shop/p"), To: []v1alpha1.Destination{host("a.example")}, Body: &v1alpha1.PolicyBody{}, Forced: beyond}
	if _, problems := Read(src, services, NoReferences); len(problems) != 1 || !strings.Contains(problems[0].Message, "names to[1]") {
		t.Errorf("problems %+v", problems)
	}
}

// The day is counted from when the annotation was written: one that was refused does not come into force by itself.
func TestWhoWroteTheAnnotationAndWhen(t *testing.T) {
	m := annotated("open until 2026-03-02T13:00:00Z",
		manager("gitops", written.Add(-time.Minute), `{"f:spec":{}}`), manager("kubectl-annotate", written.Add(-3*time.Hour), ownsAnnotation))
	f := ForcedOf(m, written.Add(20*time.Hour))
	if f.By != "kubectl-annotate" || f.Set() || !strings.Contains(f.Problem, "before 2026-03-02T09:00:00Z") {
		t.Errorf("%+v", f)
	}
	m.Annotations[v1alpha1.AnnotationCircuitBreaker] = "open until 2026-03-02T08:00:00Z"
	if f = ForcedOf(m, written.Add(19*time.Hour)); !f.Set() || f.By != "kubectl-annotate" {
		t.Errorf("%+v", f)
	}
}

// The most significant policy that says something about the destination decides.
func TestWhatIsForcedIsCompiled(t *testing.T) {
	force := func(g given, f Forced) *Policy {
		p := g.read(t)
		p.Forced = f
		return p
	}
	open := Forced{ForcedBreaker: policy.ForcedBreaker{Open: true, Until: 7}, Entry: -1}
	closed := Forced{ForcedBreaker: policy.ForcedBreaker{Until: 8}, Entry: 1}
	two := []v1alpha1.Destination{host("a.example"), host("b.example")}
	profile := Compile("p", []*Policy{
		force(given{id: "shop/all", level: LevelNamespace, to: two}, open), force(given{id: "shop/own", level: LevelPods, to: two}, closed),
	})
	for i := range profile.Bindings {
		b := &profile.Bindings[i]
		want := open.ForcedBreaker
		if b.To.Host == "b.example" {
			want = closed.ForcedBreaker
		}
		if b.ForcedBreaker != want {
			t.Errorf("%s: %+v, want %+v", b.To.Host, b.ForcedBreaker, want)
		}
	}
}
