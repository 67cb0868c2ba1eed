package browser_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"fairlead.dev/fairlead/internal/dashboard/generated"
	"fairlead.dev/fairlead/test/browser"
)

// view is all that a page has chosen and lists, but for figures and times, which go on.
const view = `JSON.stringify({
	address: location.hash, title: document.title, heading: document.querySelector("h1")?.textContent,
	fields: [...document.querySelectorAll("main input:not([type=radio]), main select, #range")].map((f) => f.id + " = " + f.value),
	chosen: [...document.querySelectorAll("main input:checked")].map((c) => c.name + " = " + c.value),
	pressed: [...document.querySelectorAll("main .chip[aria-pressed=true]")].map((b) => b.textContent),
	order: [...document.querySelectorAll("main th[aria-sort]")].map((h) => h.textContent + " " + h.getAttribute("aria-sort")),
	links: [...document.querySelectorAll("main table a")].map((a) => a.getAttribute("href")),
}, undefined, 1)`

// act is something that somebody does to a page: what is chosen in which field.
type act func(t *testing.T, p *browser.Page)

// write writes into a field, and presses Enter.
func write(field, text string) act {
	return func(t *testing.T, p *browser.Page) {
		t.Helper()
		if err := p.Eventually(`(document.querySelector("#filter-` + field + `")?.focus(), document.activeElement?.id === "filter-` + field + `")`); err != nil {
			t.Fatal(err)
		}
		press(t, p, text+kb.Enter, `new URLSearchParams(location.hash.split("?")[1]).get("`+field+`") === `+quoted(text))
	}
}

// choose chooses in a list that opens; which is a selector.
func choose(which, value string) act {
	return func(t *testing.T, p *browser.Page) {
		t.Helper()
		e := `document.querySelector(` + quoted(which) + `)`
		if err := p.Eventually(`[...(` + e + `?.options ?? [])].some((o) => o.value === ` + quoted(value) + `)`); err != nil {
			t.Fatal(err)
		}
		run(t, p, e+`.value = `+quoted(value)+`; `+e+`.dispatchEvent(new Event("change", {bubbles: true}))`)
	}
}

// click clicks on the first of what a selector names, once that is there.
func click(which string) act {
	return func(t *testing.T, p *browser.Page) {
		t.Helper()
		if err := p.Eventually(`document.querySelector(` + quoted(which) + `)`); err != nil {
			t.Fatal(err)
		}
		run(t, p, `document.querySelector(`+quoted(which)+`).click()`)
	}
}

// sortBy clicks on the heading of a column.
func sortBy(title string) act {
	return func(t *testing.T, p *browser.Page) {
		t.Helper()
		button := `[...document.querySelectorAll("main th button.sort")].find((b) => b.textContent.startsWith(` + quoted(title) + `))`
		if err := p.Eventually(button); err != nil {
			t.Fatal(err)
		}
		run(t, p, button+`.click()`)
	}
}

func run(t *testing.T, p *browser.Page, script string) {
	t.Helper()
	if _, err := browser.Value[bool](p, script+`; true`); err != nil {
		t.Fatal(err)
	}
}

// Whatever is chosen on a page is in its address, which opens the same view in another tab.
func TestAnAddressOpensTheSameView(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	for _, v := range []struct {
		page string
		acts []act
		// address is what comes of them, has what is listed then, and not what is not.
		address, has, not string
	}{
		{"overview", []act{write("ns", "shop"), write("dest", "backend"), choose("#range", "1h"), sortBy("Calls/s")},
			"#/overview?dest=backend&ns=shop&since=1h&sort=-rps", "#/policy/shop/backend-1?since=1h", "#/policy/billing/"},
		{"policies", []act{write("q", "shop"), click(`input[value=attention]`), sortBy("Policy")}, "#/policies?q=shop&sort=name&state=attention", "#/policy/shop/backend-3", "#/policy/shop/backend-0"},
		{"policy/shop/backend-1", []act{choose("#range", "5m"), sortBy("P99")}, "#/policy/shop/backend-1?since=5m&sort=-p99", "#/destination/shop/backend-1%3A80?since=5m", "backend-2"},
		{"destinations", []act{write("q", "billing"), choose("#range", "30m"), sortBy("Success")},
			"#/destinations?q=billing&since=30m&sort=success", "#/destination/billing/backend-1%3A80?since=30m", "shop/"},
		{"destination/shop/backend-0%3A80", []act{choose("#range", "1h"), sortBy("Retries")}, "#/destination/shop/backend-0%3A80?since=1h&sort=-retries", "#/policy/shop/backend-0?since=1h", "backend-2"},
		{"calls", []act{choose("#filter-outcome", "retried"), write("ns", "search"), write("status", "5xx"), write("host", "*.example")},
			"#/calls?host=*.example&ns=search&outcome=retried&status=5xx", "", ""},
		{"changes", []act{choose("#range", "1h"), choose("#filter-kind", "BreakerOpened"), click(`input[value=breakers]`), write("policy", "shop/backend-0")},
			"#/changes?kind=BreakerOpened&lane=breakers&policy=shop%2Fbackend-0&since=1h", "#/policy/shop/backend-0?since=1h", "#/nodes"},
		{"problems", []act{click(`input[value=all]`), write("q", "kernel")}, "#/problems?q=kernel&result=all", "", ""},
		{"nodes", []act{write("q", "node-000"), click(`input[value=older]`), sortBy("Pods")}, "#/nodes?q=node-000&sort=-pods&state=older", "#/calls?node=node-0002", "node-0004"},
	} {
		t.Run(v.page, func(t *testing.T) {
			p := s.open(t, "#/"+v.page)
			for _, a := range v.acts {
				a(t, p)
			}
			if err := p.Eventually(`location.hash === ` + quoted(v.address)); err != nil {
				t.Fatal(err)
			}
			again := s.open(t, v.address)
			shown, err := browser.Alike(p, again, view)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(shown, v.has) || v.not != "" && strings.Contains(shown, v.not) {
				t.Errorf("%s, without %s, is to be in\n%s", v.has, v.not, shown)
			}
			for _, w := range append(p.Wrong(), again.Wrong()...) {
				t.Error(w)
			}
		})
	}
}

// Going back and forward leads through the pages as they were, with their filters.
func TestBackAndForward(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	p := s.open(t, "#/overview")
	write("ns", "shop")(t, p)
	steps := []struct {
		do            act
		address, says string
	}{
		{func(*testing.T, *browser.Page) {}, "#/overview?ns=shop", "Calls"},
		{click(`.nav a[href^="#/policies"]`), "#/policies", "Policies"},
		{write("q", "billing"), "#/policies?q=billing", "Policies"},
		{click(`main table a[href*="billing/backend-1"]`), "#/policy/billing/backend-1", "billing/backend-1"},
		{choose("#range", "1h"), "#/policy/billing/backend-1?since=1h", "billing/backend-1"},
		{click(`.nav a[href^="#/changes"]`), "#/changes?since=1h", "Changes"},
	}
	is := func(i int) {
		t.Helper()
		if err := p.Eventually(`location.hash === ` + quoted(steps[i].address) + ` && document.querySelector("h1").textContent.includes(` + quoted(steps[i].says) + `)`); err != nil {
			t.Fatal(err)
		}
	}
	shown := make([]string, len(steps))
	for i, s := range steps {
		s.do(t, p)
		is(i)
		if err := p.Ready(); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{4, 2, 0} { // a filter is no step of its own
		run(t, p, `history.back()`)
		is(i)
		shown[i] = viewAlike(t, s, p, steps[i].address)
	}
	for _, i := range []int{2, 4, 5} {
		run(t, p, `history.forward()`)
		is(i)
		if got := viewAlike(t, s, p, steps[i].address); shown[i] != "" && got != shown[i] {
			t.Errorf("forward again it is\n%s\nand was\n%s", got, shown[i])
		}
	}
	for _, w := range p.Wrong() {
		t.Error(w)
	}
}

// viewAlike waits until a page has the view that its address opens.
func viewAlike(t *testing.T, s *served, p *browser.Page, address string) string {
	t.Helper()
	other, err := browser.Open(s.browser, s.address+address, wide)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	shown, err := browser.Alike(p, other, view)
	if err != nil {
		t.Fatal(err)
	}
	return shown
}

// A link to something that is not there says so, and the page goes on working.
func TestALinkToNothingSaysSo(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	for address, says := range map[string]string{
		"#/nothing/at/all":                      "There is no page “nothing/at/all”",
		"#/policy":                              "There is no page “policy”",
		"#/" + url.PathEscape(generated.Script): "There is no page “" + generated.Script + "”",
		"#/policy/shop/none":                    `there is no policy "shop/none"`,
		"#/policy/none":                         `there is no policy "none"`,
		"#/destination/" + url.PathEscape("shop/none:1"): `there is no destination "shop/none:1"`,
		"#/overview?ns=none":                             "No calls in this time",
		"#/overview?since=never":                         "since",
		"#/policies?q=none":                              "No policy fits the filters",
		"#/destinations?q=none":                          "No destination fits the filters",
		"#/nodes?q=none":                                 "No node fits the filters",
		"#/changes?policy=shop/none":                     "Nothing has changed in this time",
		"#/changes?kind=None":                            "Nothing has changed in this time",
		"#/problems?q=none-of-them":                      "No finding fits",
		"#/calls?ns=shop&pod=none":                       "look for pod shop/none",
		"#/calls?node=none":                              "no agent runs on node none",
	} {
		t.Run(address, func(t *testing.T) {
			p := s.open(t, address)
			if err := p.Eventually(`document.querySelector("main").innerText.includes(` + quoted(says) + `)`); err != nil {
				t.Fatal(err)
			}
			if ran, err := browser.Value[bool](p, `"fairleadScriptRan" in window`); ran || err != nil {
				t.Errorf("a name has run a script: %t, %v", ran, err)
			}
			click(`.nav a[href^="#/nodes"]`)(t, p)
			if err := p.Eventually(`document.querySelector("main").innerText.includes("node-0001")`); err != nil {
				t.Error(err)
			}
		})
	}
}

// A filter of a link that is none of those that a page offers is shown, so that somebody sees why there is nothing.
func TestAFilterThatIsNotOfferedIsShown(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	p := s.open(t, "#/changes?kind=None&since=1h")
	if err := p.Eventually(`document.querySelector("#filter-kind").value === "None"`); err != nil {
		t.Error(err)
	}
	if err := p.Eventually(`[...document.querySelector("#filter-kind").options].some((o) => o.value === "AgentGone")`); err != nil { // what else there is can be chosen
		t.Error(err)
	}
}
