package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"fairlead.dev/fairlead/internal/dashboard"
	"fairlead.dev/fairlead/internal/dashboard/generated"
	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/test/browser"
)

// troubled has a tap of which the test says what cannot be read.
type troubled struct {
	dashboard.Source
	wrong chan []string
}

func (s *troubled) Calls(ctx context.Context, _ url.Values, _ func(*liveapi.TapLine), troubles func([]string)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case all := <-s.wrong:
			troubles(all)
		}
	}
}

// What cannot be read is on the page as long as it cannot, and not after that.
func TestTroubleIsShownWhileItLasts(t *testing.T) {
	from := &troubled{made(t, generated.Small).Source(), make(chan []string, 4)} // room for all: a page whose stream never begins is reported by what it shows
	p := serveSource(t, from).open(t, "#/calls")
	const shown = `[...document.querySelectorAll("main [role=alert] li")].map((l) => l.textContent).join("; ")`
	for _, step := range []struct {
		wrong []string
		shows string
	}{
		{[]string{}, ""}, {[]string{"pod a: no", "pod b: <b>no</b>"}, "pod a: no; pod b: <b>no</b>"}, {[]string{"pod b: <b>no</b>"}, "pod b: <b>no</b>"}, {[]string{}, ""},
	} {
		from.wrong <- step.wrong
		if err := p.Eventually(shown + ` === ` + quoted(step.shows) + ` && document.querySelector(".tap-bar .live").textContent === "Listening"`); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range p.Wrong() {
		t.Error(w)
	}
}

// Why the server refuses is on the page until it answers again.
func TestARefusalIsShownUntilTheStreamWorks(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	p := s.open(t, "#/nodes")
	var ends []func()
	c := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(c.CloseIdleConnections)
	for full := false; !full; { // as many as there may be
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.address+model.EventsPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		end := func() { _ = res.Body.Close() }
		t.Cleanup(end)
		if full = res.StatusCode == http.StatusServiceUnavailable; !full {
			ends = append(ends, end)
		}
	}
	click(`.nav a[href^="#/calls"]`)(t, p)
	const shown = `document.querySelector("main [role=alert] li")`
	if err := p.Eventually(shown + `?.textContent.includes("too many pages are open") && document.querySelector(".tap-bar .live").matches(".is-lost")`); err != nil {
		t.Fatal(err)
	}
	for _, end := range ends {
		end()
	}
	if err := p.Eventually(`!` + shown + `?.textContent.includes("too many pages are open") && document.querySelector(".tap-bar .live").textContent === "Listening"`); err != nil {
		t.Error(err)
	}
}

// Tabs in the background let go of their streams, so that many can be open: a browser has six connections with a server at a time.
func TestManyTabsAreOpen(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	var first *browser.Page
	for range 9 {
		p := s.open(t, "#/nodes")
		if first == nil {
			first = p
		}
		behind(t, p, true)
	}
	p := s.open(t, "#/policies")
	for _, shown := range []*browser.Page{p, first} {
		behind(t, shown, false)
		if err := shown.Eventually(`document.querySelector(".head .live").textContent === "Live"`); err != nil {
			t.Error(err)
		}
	}
}

// behind has a page take itself for one in the background, or in front, which tabs without a window do not become by themselves.
func behind(t *testing.T, p *browser.Page, hidden bool) {
	t.Helper()
	run(t, p, fmt.Sprintf(`Object.defineProperty(document, "hidden", {value: %t, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`, hidden))
}
