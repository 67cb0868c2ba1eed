package doctor

import "strings"

// page is a page of docs, with a part of it: security.md#open-ports.
type page string

// address returns where it is published; empty for none.
func (p page) address() string {
	if p == "" {
		return ""
	}
	return "https://fairlead.dev/docs/" + string(p)
}

// file returns the page's file below docs, and the part.
func (p page) file() (name, anchor string) {
	name, anchor, _ = strings.Cut(string(p), "#")
	return name, anchor
}

// The pages that explain findings.
const (
	pageInstall     page = "operations/install.md"
	pageUpgrade     page = "operations/install.md#upgrade"
	pageManagerAway page = "operations/runbooks.md#fairleadmanageraway"
	pageAgentsLost  page = "operations/runbooks.md#fairleadagentslost"
	pageCA          page = "operations/runbooks.md#fairleadcaexpiressoon"
	pageEgressCA    page = "operations/runbooks.md#fairleadegresscaexpiressoon"
	pageCapture     page = "operations/runbooks.md#fairleadcapturefailing"
	pageProgrammed  page = "operations/runbooks.md#fairleadpolicynotprogrammed"
	pageOverload    page = "operations/README.md#what-an-agent-is-short-of-and-who-does-without"
	pageLimits      page = "operations/README.md#known-limits"
	pageHappens     page = "operations/README.md#what-happens-when-"
	pageNotEnforced page = "operations/README.md#not-enforced-by-this-version"
	pageRefused     page = "operations/README.md#why-is-my-policy-refused"
	pageQUIC        page = "operations/README.md#names-proxies-and-quic"
	pageTrust       page = "guides/tls.md#trust-in-pods"
	pageNoIssuer    page = "guides/tls.md#nodes-without-an-issuer"
	pageTLS         page = "guides/tls.md"
	pageTracing     page = "guides/tracing.md#where-spans-go"
	pageSelection   page = "concepts/selection.md#callers-and-destinations"
	pageSeveral     page = "concepts/selection.md#several-policies-for-one-call"
	pageReferences  page = "security.md#what-policies-refer-to"
	pageRollout     page = "guides/rollout.md#what-takes-a-change-back"
	pageClocks      page = "reference/cli.md#doctor"
)

// pages are all of them. The table is never written to.
var pages = []page{pageInstall, pageUpgrade, pageManagerAway, pageAgentsLost, pageCA, pageEgressCA, pageCapture, pageProgrammed, pageOverload, pageLimits, pageHappens,
	pageNotEnforced, pageRefused, pageQUIC, pageTrust, pageNoIssuer, pageTLS, pageTracing, pageSelection, pageSeveral, pageReferences, pageRollout, pageClocks}
