package browser_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/dashboard/generated"
	"fairlead.dev/fairlead/test/browser"
)

// visit is a page, and texts that it shows.
type visit struct {
	name, path string
	shows      []string
}

func visits() []visit {
	hostile := strings.ToLower(generated.Script) + ".example:443"
	return []visit{
		{"overview", "#/overview", []string{"shop", "<img src=x"}},
		{"policies", "#/policies", []string{"billing/backend-1", "search/backend-0"}},
		{"policy", "#/policy/shop/backend-1", []string{"timeouts.perTry", "RetryPolicy shop/backend-1", "slow-reports", "ClusterRetryPolicy base (default)"}},
		{"cluster-policy", "#/policy/base", []string{"timeouts.connect", "ClusterRetryPolicy base (default)"}},
		{"destinations", "#/destinations", []string{"shop/backend-0:80"}},
		{"destination", "#/destination/" + url.PathEscape("shop/backend-0:80"), []string{"10.1.", "shop"}},
		{"hostile", "#/destination/" + url.PathEscape(hostile), []string{"<img src=x"}},
		{"calls", "#/calls", []string{"shop"}},
		{"changes", "#/changes", []string{"Breakers", "Rollouts", "All calls"}}, // below them is the list, of which a narrow page shows nothing yet
		{"problems", "#/problems", []string{"4 of 5 ready", "node-0001", "nft_reject_inet", "<img src=x", "docs/guides/tls#trust-in-pods"}},
		{"nodes", "#/nodes", []string{"node-0000"}},
	}
}

// Each page shows what there is, without an error, without a barrier, and without running what is in names, wide and narrow, light and dark.
func TestPages(t *testing.T) {
	s := serve(t, generated.Small)
	for _, view := range []browser.View{{Width: 1280, Height: 900}, {Width: 1280, Height: 900, Dark: true}, {Width: 400, Height: 900}, {Width: 400, Height: 900, Dark: true}} {
		for _, v := range visits() {
			t.Run(v.name+"-"+view.String(), func(t *testing.T) { s.look(t, v, view) })
		}
	}
}

func (s *served) look(t *testing.T, v visit, view browser.View) {
	t.Helper()
	p, err := browser.Open(s.browser, s.address+v.path, view)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, want := range v.shows {
		if err := p.Eventually(`document.body.innerText.includes(` + quoted(want) + `)`); err != nil {
			t.Error(err)
		}
	}
	if err := p.Screenshot(filepath.Join(s.pictures, v.name+"-"+view.String()+".png")); err != nil {
		t.Error(err)
	}
	found, err := p.Inaccessible(s.axe)
	if err != nil {
		t.Error(err)
	}
	for _, f := range found {
		t.Errorf("axe-core: %s", f)
	}
	type state struct {
		Ran           bool
		Wide, Visible int
	}
	is, err := browser.Value[state](p, `({Ran: "fairleadScriptRan" in window, Wide: document.documentElement.scrollWidth, Visible: document.documentElement.clientWidth})`)
	if err != nil {
		t.Error(err)
	}
	if is.Ran {
		t.Error("a name has run a script")
	}
	if is.Wide > is.Visible {
		t.Errorf("the page is %d wide, of which %d can be seen", is.Wide, is.Visible)
	}
	for _, w := range p.Wrong() {
		t.Error(w)
	}
}

func quoted(s string) string {
	return "`" + strings.NewReplacer("`", "\\`", "$", "\\$", `\`, `\\`).Replace(s) + "`"
}

// The page of a destination says when its own breakers were open: as marks and bars, and as a list. Those of other destinations of the policy are not there.
func TestADestinationHasABreakerTimeline(t *testing.T) {
	s := serve(t, generated.Small)
	p, err := browser.Open(s.browser, s.address+"#/destination/"+url.PathEscape("shop/backend-0:80")+"?since=1h", browser.View{Width: 1280, Height: 900})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const section = `[...document.querySelectorAll("section")].find((s) => s.querySelector("h2")?.textContent.startsWith("Breaker timeline"))`
	if err := p.Eventually(section + `?.querySelectorAll("table tbody tr a").length > 0`); err != nil {
		t.Fatal(err)
	}
	type state struct {
		Lanes, Spans int
		Marks        []string
		Text         string
	}
	is, err := browser.Value[state](p, `(() => { const s = `+section+`; return {
		Lanes: s.querySelectorAll(".lane").length, Spans: s.querySelectorAll(".lane .span.open").length,
		Marks: [...s.querySelectorAll(".lane .mark")].map((m) => m.getAttribute("aria-label")), Text: s.innerText } })()`)
	if err != nil {
		t.Fatal(err)
	}
	if is.Lanes != 1 || is.Spans == 0 || len(is.Marks) == 0 || !strings.Contains(is.Text, "Breaker open") || !strings.Contains(is.Text, "service shop/backend-0:80") {
		t.Errorf("%+v", is)
	}
	for _, m := range is.Marks {
		if !strings.Contains(m, "Breaker opened") && !strings.Contains(m, "Breaker closed") {
			t.Errorf("a mark of the timeline of breakers is %s", m)
		}
	}
	if other, err := browser.Value[bool](p, `document.body.innerText.includes("elsewhere/other")`); err != nil || other {
		t.Errorf("a breaker of another destination is on the page: %t, %v", other, err)
	}
	for _, w := range p.Wrong() {
		t.Error(w)
	}
}

// Thousands of policies and nodes are as many lines as fit into sight. What scrolling costs is printed, and what it costs that figures change.
func TestALargeClusterStaysFluid(t *testing.T) {
	s := serve(t, generated.Large)
	for _, v := range []struct{ name, path, asks string }{
		{"large-overview", "#/overview?since=1h", "api/v1/overview"}, {"large-policies", "#/policies", "api/v1/policies"}, {"large-nodes", "#/nodes", "api/v1/nodes"},
	} {
		began := time.Now()
		p, err := browser.Open(s.browser, s.address+v.path, browser.View{Width: 1280, Height: 900})
		if err != nil {
			t.Fatal(err)
		}
		ready := time.Since(began)
		is, err := browser.Value[cost](p, scrolled)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		t.Logf("%s: shown after %s; %d elements; %d frames of scrolling: median %.1f ms, 95 %% within %.1f ms, longest %.1f ms; heap %.1f MiB",
			v.name, ready.Round(time.Millisecond), is.Elements, is.Frames, is.Median, is.P95, is.Longest, is.Heap)
		busy, err := browser.Value[busyness](p, fmt.Sprintf(updated, v.asks))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		t.Logf("%s: two updates: %d tasks longer than 50 ms, the longest %.0f ms", v.name, busy.Tasks, busy.Longest)
		if is.Elements > 6000 {
			t.Errorf("%s: %d elements are in the page: its lists are made whole", v.name, is.Elements)
		}
		if err := p.Screenshot(filepath.Join(s.pictures, v.name+".png")); err != nil {
			t.Error(err)
		}
		for _, w := range p.Wrong() {
			t.Errorf("%s: %s", v.name, w)
		}
		p.Close()
	}
}

// cost is what scrolling costs, in milliseconds for each frame.
type cost struct {
	Elements, Frames     int
	Median, P95, Longest float64
	Heap                 float64 // in MiB
}

// busyness is how long the page has been busy at a time while it was kept current, in milliseconds.
type busyness struct {
	Tasks   int
	Longest float64
}

// updated waits until what a page asks for has come twice more, and says for how long that has kept the page busy.
const updated = `(async () => {
	const long = [];
	new PerformanceObserver((l) => long.push(...l.getEntries().map((e) => e.duration))).observe({type: "longtask"});
	const came = () => performance.getEntriesByType("resource").filter((e) => e.name.includes(%q)).length;
	const frame = () => new Promise(requestAnimationFrame);
	for (const before = came(); came() < before + 2; ) await frame();
	for (let i = 0; i < 10; i++) await frame();
	return {Tasks: long.length, Longest: Math.max(0, ...long)};
})()`

// scrolled scrolls whatever can be scrolled furthest for 120 frames, and says what that has cost.
const scrolled = `(async () => {
	const all = [document.scrollingElement, ...document.querySelectorAll("*")];
	const of = all.reduce((a, b) => b.scrollHeight - b.clientHeight > a.scrollHeight - a.clientHeight ? b : a);
	const frame = () => new Promise(requestAnimationFrame);
	const times = [];
	let last = await frame();
	for (let i = 0; i < 120; i++) {
		of.scrollTop += 400;
		const now = await frame();
		times.push(now - last);
		last = now;
	}
	times.sort((a, b) => a - b);
	return {
		Elements: document.querySelectorAll("*").length, Frames: times.length, Median: times[60], P95: times[114], Longest: times[119],
		Heap: (performance.memory ? performance.memory.usedJSHeapSize : 0) / 1048576,
	};
})()`
