package browser_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/dashboard/generated"
	"fairlead.dev/fairlead/test/browser"
)

// Breakers of a dry run, which reject nothing, are said to be neither open nor closed, in the heading and in the list.
func TestADryRunsBreakerWouldBeOpen(t *testing.T) {
	s := serveSource(t, made(t, generated.Small).Source())
	dry := s.open(t, "#/destination/billing/backend-2%3A80")
	if err := dry.Eventually(`document.querySelector("h1").innerText.includes("dry run: breaker would be open on")`); err != nil {
		t.Error(err)
	}
	rows := `[...document.querySelectorAll("[aria-label='Breakers by node'] tbody tr:not(.spacer)")]`
	if err := dry.Eventually(rows + `.length > 0 && ` + rows + `.every((r) => r.innerText.includes("would be open") && r.innerText.includes("dry run") && !r.matches(".row-bad"))`); err != nil {
		t.Error(err)
	}
	if wrong, err := browser.Value[bool](dry, `/breaker open on/.test(document.querySelector("h1").innerText) || document.querySelector("h1 .badge.bad, h1 .badge.good") !== null`); err != nil || wrong {
		t.Errorf("a dry run's breakers are among those that reject calls: %t, %v", wrong, err)
	}
	open := s.open(t, "#/destination/api-7.partner.example%3A443")
	if err := open.Eventually(`document.querySelector("h1 .badge.bad")?.innerText.includes("breaker open on") && !document.querySelector("h1").innerText.includes("would be")`); err != nil {
		t.Error(err)
	}
}
