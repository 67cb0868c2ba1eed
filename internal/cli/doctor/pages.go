package doctor

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"fairlead.dev/fairlead/internal/cli/output"
)

// defaultDocs is where the docs are published.
const defaultDocs = "https://fairlead.dev/docs"

// page is a page of docs, with a part of it: security.md#open-ports.
type page string

// address returns where it is below the address of the docs, which is defaultDocs if it is empty; empty for no page.
func (p page) address(docs string) string {
	if p == "" {
		return ""
	}
	return strings.TrimRight(cmp.Or(docs, defaultDocs), "/") + "/" + string(p)
}

// checkDocs refuses what is no address that pages can be below; empty is none, and is not refused. It may come from the cluster, and becomes a link.
func checkDocs(docs string) error {
	if docs == "" {
		return nil
	}
	u, err := url.Parse(docs)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(docs, "?#") {
		return fmt.Errorf("%s is no address of docs: write it as %s", output.Text(docs), defaultDocs)
	}
	return nil
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
