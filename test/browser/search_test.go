package browser_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/generated"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/test/browser"
)

// press presses keys, and waits until an expression of JavaScript is true.
func press(t *testing.T, p *browser.Page, keys, then string, held ...chromedp.Modifier) {
	t.Helper()
	if err := p.Press(keys, held...); err != nil {
		t.Fatal(err)
	}
	if err := p.Eventually(then); err != nil {
		focus, _ := browser.Value[string](p, `document.activeElement.outerHTML + " has " + document.activeElement.value`) // for the message alone
		t.Fatalf("after %q: %v\n%.1000s", keys, err, focus)
	}
}

// What the search shows: the field that is written in, which of the hits is chosen, and that it is not there.
const (
	searchOpen   = `document.querySelector("dialog.palette[open]")?.contains(document.activeElement) && document.activeElement.matches("[role=combobox]")`
	searchClosed = `!document.querySelector("dialog")`
	chosen       = `document.querySelector("#hits [aria-selected=true]")`
)

// chosenIs is true when the hit of a number is the chosen one, as the field says to screen readers too.
func chosenIs(n string) string {
	return chosen + `?.id === "hit-` + n + `" && document.activeElement.getAttribute("aria-activedescendant") === "hit-` + n + `" && document.querySelectorAll("#hits [aria-selected=true]").length === 1`
}

// The search is opened by a key, written in, gone through by arrows, and opens what is chosen with Enter: without a pointer.
func TestTheSearchIsUsedByKeys(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	p := s.open(t, "#/policies?since=30m")
	press(t, p, "/", searchOpen)
	press(t, p, "/", `document.activeElement.value === ""`) // what opens it is no letter of a name
	press(t, p, "backend-1", `document.querySelectorAll("#hits [role=option]").length >= 6 && document.activeElement.value === "backend-1"`)
	if err := p.Eventually(chosenIs("0")); err != nil {
		t.Fatal(err)
	}
	press(t, p, kb.ArrowUp, chosenIs("0")) // there is none before the first
	press(t, p, kb.ArrowDown+kb.ArrowDown, chosenIs("2"))
	press(t, p, kb.ArrowUp, chosenIs("1"))
	press(t, p, kb.PageDown, `Number(`+chosen+`.id.slice(4)) > 1`)
	press(t, p, kb.PageUp+kb.ArrowDown, chosenIs("1"))
	name, err := browser.Value[string](p, chosen+`.querySelector(".hit-name").textContent`)
	if err != nil || !strings.HasSuffix(name, "/backend-1") {
		t.Fatalf("%q is chosen: %v", name, err)
	}
	press(t, p, kb.Enter, `location.hash === `+quoted("#/policy/"+name+"?since=30m")+` && document.querySelector("h1")?.textContent.includes(`+quoted(name)+`)`)
	if err := p.Eventually(searchClosed + ` && document.activeElement?.id === "main"`); err != nil {
		t.Error(err)
	}
	press(t, p, "/", searchOpen)
	press(t, p, "zzz-nothing", `document.querySelector(".palette").innerText.includes("Nothing has that name")`)
	press(t, p, kb.Enter, searchOpen) // there is nothing to open
	press(t, p, kb.Escape, searchClosed)
	for _, w := range p.Wrong() {
		t.Error(w)
	}
}

// Escape closes the search, and the focus is where it was before, wherever that is.
func TestEscapeGivesTheFocusBack(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	p := s.open(t, "#/policies")
	for _, at := range []string{`.nav a[href^="#/nodes"]`, `button.search`, `th button.sort`} {
		focused := `document.activeElement === document.querySelector(` + quoted(at) + `)`
		if err := p.Eventually(`(document.querySelector(` + quoted(at) + `).focus(), ` + focused + `)`); err != nil {
			t.Fatal(err)
		}
		press(t, p, "/", searchOpen)
		press(t, p, "shop", `document.activeElement.value === "shop"`)
		press(t, p, kb.Escape, searchClosed+` && `+focused)
		press(t, p, "k", searchOpen, chromedp.ModifierCtrl)
		if v, err := browser.Value[string](p, `document.activeElement.value`); v != "" || err != nil {
			t.Errorf("the search opens with %q of before: %v", v, err)
		}
		press(t, p, kb.Escape, searchClosed+` && `+focused)
	}
	// the button that opens it is pressed by a key, too
	press(t, p, kb.Escape, `(document.querySelector("button.search").focus(), true)`)
	press(t, p, kb.Enter, searchOpen)
	press(t, p, kb.Escape, searchClosed+` && document.activeElement.matches("button.search")`)
	// in a field a letter is a letter
	press(t, p, kb.Escape, `(document.querySelector("#filter-q").focus(), document.activeElement.id === "filter-q")`)
	press(t, p, "a/?gt", `document.querySelector("#filter-q").value === "a/?gt" && `+searchClosed)
	for _, w := range p.Wrong() {
		t.Error(w)
	}
}

// slowNames answers what the cluster is, with all names, when it is let.
type slowNames struct {
	dashboard.Source
	let chan struct{}
}

func (s *slowNames) Cluster(ctx context.Context) (*model.Cluster, error) {
	select {
	case <-s.let:
		return s.Source.Cluster(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Names that come when something is written already are found.
func TestTheSearchFindsNamesThatComeLater(t *testing.T) {
	from := &slowNames{made(t, generated.Small).Source(), make(chan struct{})}
	s := serveSource(t, from)
	p := s.open(t, "#/problems")
	press(t, p, "/", searchOpen)
	press(t, p, "billing/backend-2", `document.querySelector(".palette").innerText.includes("Live calls of pod")`)
	close(from.let)
	if err := p.Eventually(`document.querySelector("#hit-0 .hit-name")?.textContent === "billing/backend-2"`); err != nil {
		t.Fatal(err)
	}
	press(t, p, kb.Enter, `location.hash === "#/policy/billing/backend-2"`)
}
