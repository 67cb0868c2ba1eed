package browser_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/dashboard/generated"
	"fairlead.dev/fairlead/test/browser"
)

// The list and the timeline of changes say who has edited a policy, whatever that is called.
func TestChangesSayWhoEditedAPolicy(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	p := s.open(t, "#/changes?q=argocd-controller&since=1h")
	const rows = `[...document.querySelectorAll("[aria-label=Changes] tbody tr:not(.spacer)")]`
	by := quoted("its spec was edited, by argocd-controller " + generated.Script + " (Apply)")
	if err := p.Eventually(rows + `.length > 3 && ` + rows + `.every((r) => r.textContent.includes(` + by + `))`); err != nil {
		t.Error(err)
	}
	if err := p.Eventually(`[...document.querySelectorAll(".lane .mark")].some((m) => m.getAttribute("aria-label").includes(` + by + `))`); err != nil {
		t.Error(err)
	}
	if ran, err := browser.Value[bool](p, `"fairleadScriptRan" in window`); ran || err != nil {
		t.Errorf("a name has run a script: %t, %v", ran, err)
	}
	for _, w := range p.Wrong() {
		t.Error(w)
	}
}
