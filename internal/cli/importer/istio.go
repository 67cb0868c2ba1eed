package importer

import (
	"regexp"
	"slices"
	"strings"

	"fairlead.dev/fairlead/api/v1alpha1"
)

var istioReasons = map[string]string{
	"route":                          "fairlead does not route or split traffic",
	"redirect":                       "fairlead does not redirect requests",
	"rewrite":                        "fairlead does not change requests",
	"mirror":                         "fairlead does not mirror traffic",
	"mirrors":                        "fairlead does not mirror traffic",
	"mirrorPercentage":               "fairlead does not mirror traffic",
	"headers":                        "fairlead does not change header fields",
	"corsPolicy":                     "answering preflight requests is the server's",
	"delegate":                       "import the VirtualService that is delegated to",
	"fault":                          "write faults, which end at a time of their own (spec.faults)",
	"spec.tcp":                       "has no retries or timeouts to keep",
	"spec.tls":                       "has no retries or timeouts to keep",
	"exportTo":                       "a RetryPolicy is for the pods of its own namespace",
	"gateways":                       "calls of gateways are not those of your pods",
	"subsets":                        "fairlead does not route to subsets of a Service",
	"portLevelSettings":              "write a policy of its own for the port, with service.port",
	"consistentHash":                 "a Service's own sessionAffinity is kept; there is no other",
	"localityLbSetting":              "fairlead goes by the Service's trafficDistribution",
	"warmupDurationSecs":             "endpoints that return are ramped up by themselves",
	"warmup":                         "endpoints that return are ramped up by themselves",
	"retryRemoteLocalities":          "a retry goes to any endpoint that the call has not used",
	"trafficPolicy.tls":              "a mesh's certificates are the mesh's; for hosts outside see tls.mode Originate",
	"outlierDetection.interval":      "endpoints are ejected at once, not at intervals",
	"minHealthPercent":               "see maxEjectedPercent, beyond which endpoints are kept",
	"splitExternalLocalOriginErrors": "failures.when lists what counts",
	"h2UpgradePolicy":                "calls go on in the version of HTTP that pods speak",
	"http.maxRetries":                "retries are bounded by retry.budget",
	"useClientProtocol":              "calls always go on in the version of HTTP that pods speak",
	"proxyProtocol":                  "fairlead does not speak the PROXY protocol",
	"tunnel":                         "see via, which is a proxy for hosts",
}

// istioTo reads a host of Istio as a destination; names of Services may be short.
func istioTo(host, namespace string) v1alpha1.Destination {
	if svc, ok := serviceOf(host, namespace); ok {
		return v1alpha1.Destination{Service: &svc}
	}
	return v1alpha1.Destination{Host: v1alpha1.Host(strings.ToLower(host))}
}

func (i *importer) readVirtualService(s *source) {
	spec := s.at("spec")
	if gateways := spec.at("gateways"); gateways.is() {
		if !ofMesh(gateways) {
			s.lose(gateways, "its calls are made by gateways, not by your pods")
			spec.done()
			return
		}
	}
	namespace := s.u.GetNamespace()
	for _, host := range spec.at("hosts").items() {
		d := draft{from: s.object, name: s.u.GetName(), to: istioTo(host.text(), namespace), unsaid: istioDefault()}
		d.caller = i.callers(namespace, namespaceOf(&d.to, namespace))
		every := false
		for n, route := range spec.at("http").items() {
			if every {
				s.lose(route, "comes behind a route for every request")
				continue
			}
			every = s.addHTTPRoute(&d, route, n)
		}
		s.drafts = append(s.drafts, d)
	}
	s.loseUnread(spec)
}

// ofMesh reports whether gateways are, among others, the pods themselves.
func ofMesh(gateways tree) bool {
	return slices.ContainsFunc(gateways.items(), func(g tree) bool { return g.value == "mesh" })
}

// namespaceOf is the namespace of a Service, and other for what is none.
func namespaceOf(to *v1alpha1.Destination, other string) string {
	if to.Service != nil {
		return to.Service.Namespace
	}
	return other
}

// addHTTPRoute adds a route of a VirtualService, and reports whether every request fits it.
func (s *source) addHTTPRoute(d *draft, route tree, n int) (every bool) {
	var blocks v1alpha1.CallBlocks
	t := v1alpha1.Timeouts{Overall: s.duration(route.at("timeout")), PerTry: s.duration(route.at("retries", "perTryTimeout"))}
	if t != (v1alpha1.Timeouts{}) {
		blocks.Timeouts = &t
	}
	if retries := route.at("retries"); retries.is() {
		blocks.Retry = s.istioRetries(retries)
	}
	matches := route.at("match").items()
	every = len(matches) == 0
	var kept []v1alpha1.CallMatch
	for _, m := range matches {
		match, usable := s.istioMatch(m)
		if !usable {
			continue
		}
		if isEvery(&match) {
			every = true
		} else {
			kept = append(kept, match)
		}
	}
	s.plainRoute(d, route.at("route"))
	d.addPart(part{name: ruleName(route.at("name").text(), n), matches: kept, blocks: blocks}, every)
	return every
}

// plainRoute reads a route to where the call goes anyway.
func (s *source) plainRoute(d *draft, route tree) {
	to := route.items()
	if len(to) != 1 || to[0].at("destination", "subset").is() || to[0].at("headers").is() {
		return
	}
	host, _ := to[0].at("destination", "host").value.(string)
	other := istioTo(host, s.u.GetNamespace())
	switch {
	case d.to.Service != nil && other.Service != nil && *d.to.Service == *other.Service, d.to.Host != "" && d.to.Host == other.Host:
		route.done()
	}
}

func (s *source) istioRetries(retries tree) *v1alpha1.Retry {
	var c causes
	n, ok := retries.at("attempts").number()
	if !ok {
		n = 2 // Istio's own default
	}
	n = s.atMostRetries(retries.at("attempts"), n)
	c.retry.MaxRetries = &n
	if d := s.duration(retries.at("backoff")); d != "" {
		c.retry.Backoff = &v1alpha1.Backoff{InitialInterval: d}
	}
	if n == 0 {
		retries.at("retryOn").done()
		return &c.retry
	}
	if on := retries.at("retryOn"); on.is() {
		s.retryOn(&c, on)
	} else {
		c.retry.When, c.retry.GRPCStatuses = istioDefault().When, istioDefault().GRPCStatuses
	}
	s.repeats(retries.path, &c.retry)
	return &c.retry
}

// istioDefault is what Istio retries where nothing is said.
func istioDefault() *v1alpha1.Retry {
	n := int32(2)
	return &v1alpha1.Retry{
		MaxRetries: &n, When: []v1alpha1.RetryCondition{v1alpha1.RetryOnConnectFailure, v1alpha1.RetryOnRefusedStream},
		GRPCStatuses: []v1alpha1.GRPCStatus{"UNAVAILABLE", "CANCELLED"},
	}
}

// istioMatch reads what requests fit. A match that looks at something else would fit more than is meant, and is left out.
func (s *source) istioMatch(m tree) (out v1alpha1.CallMatch, usable bool) {
	for _, part := range m.entries() {
		switch part.name {
		case "name":
			part.done()
		case "uri":
			out.Path, usable = s.istioPath(part)
		case "method":
			text := part.at("exact").text()
			out.Methods, usable = []string{text}, text != ""
		case "authority":
			text := part.at("exact").text()
			out.Host, usable = v1alpha1.Host(strings.ToLower(text)), text != "" && !strings.Contains(text, ":")
		case "headers":
			out.Headers, usable = istioHeaders(part)
		case "gateways":
			if !ofMesh(part) {
				s.lose(m, "its calls are made by gateways, not by your pods")
				return out, false
			}
			usable = true
			part.done()
		default:
			usable = false
		}
		if part.name != "name" && !usable {
			s.lose(m, "rules do not look at %s in this way, so what this match was for is not in the policy", part.name)
			return out, false
		}
	}
	return out, true
}

// istioPath reads the match of a path. A prefix of Istio's is one of the text, not of whole elements of the path.
func (s *source) istioPath(uri tree) (*v1alpha1.PathMatch, bool) {
	if text := uri.at("exact").text(); text != "" {
		return &v1alpha1.PathMatch{Type: v1alpha1.PathExact, Value: text}, true
	}
	if text := uri.at("regex").text(); text != "" {
		return &v1alpha1.PathMatch{Type: v1alpha1.PathRegularExpression, Value: text}, true
	}
	switch text := uri.at("prefix").text(); text {
	case "":
		return nil, false
	case "/":
		return nil, true
	default:
		return &v1alpha1.PathMatch{Type: v1alpha1.PathRegularExpression, Value: regexp.QuoteMeta(text) + ".*"}, true
	}
}

func istioHeaders(headers tree) (out []v1alpha1.RequestHeaderMatch, usable bool) {
	for _, h := range headers.entries() {
		match := v1alpha1.RequestHeaderMatch{Name: v1alpha1.HeaderName(h.name)}
		exact, prefix, regex := h.at("exact").text(), h.at("prefix").text(), h.at("regex").text()
		switch {
		case exact != "":
			match.Value = exact
		case prefix != "":
			match.Type, match.Value = v1alpha1.HeaderPrefix, prefix
		case regex != "":
			match.Type, match.Value = v1alpha1.HeaderRegularExpression, regex
		case len(h.entries()) > 0:
			return nil, false
		}
		h.done()
		out = append(out, match)
	}
	return out, true
}

func (i *importer) readDestinationRule(s *source) {
	spec := s.at("spec")
	host := spec.at("host").text()
	if host == "" {
		s.lose(spec, "it names no host")
		return
	}
	d := draft{from: s.object, name: s.u.GetName(), to: istioTo(host, s.u.GetNamespace())}
	d.caller = i.callers(s.u.GetNamespace(), namespaceOf(&d.to, s.u.GetNamespace()))
	for _, l := range spec.at("workloadSelector", "matchLabels").entries() {
		if d.pods == nil {
			d.pods = map[string]string{}
		}
		d.pods[l.name], d.caller = l.text(), s.u.GetNamespace()
	}
	policy := spec.at("trafficPolicy")
	s.istioPool(&d.body, policy.at("connectionPool"))
	s.outliers(&d.body, policy.at("outlierDetection"))
	s.istioBalancing(&d.body, policy.at("loadBalancer", "simple"))
	s.drafts = append(s.drafts, d)
	s.loseUnread(spec)
}

func (s *source) istioBalancing(body *v1alpha1.PolicyBody, t tree) {
	policies := map[string]v1alpha1.LoadBalancingPolicy{
		"ROUND_ROBIN": "RoundRobin", "LEAST_REQUEST": "LeastRequest", "LEAST_CONN": "LeastRequest", "RANDOM": "Random", "PASSTHROUGH": "ClusterIP",
	}
	text := t.text()
	if p, ok := policies[text]; ok {
		body.LoadBalancing = &v1alpha1.LoadBalancing{Policy: p}
	} else if text != "" && text != "UNSPECIFIED" {
		s.lose(t, "%s is no way to choose endpoints that fairlead has", text)
	}
}
