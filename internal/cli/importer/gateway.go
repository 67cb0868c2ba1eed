package importer

import (
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead.dev/fairlead/api/v1alpha1"
)

var gatewayReasons = map[string]string{
	"filters":            "fairlead does not change, mirror or redirect requests",
	"backendRefs":        "fairlead does not route: calls go to the Service that they are made to",
	"sessionPersistence": "a Service's own sessionAffinity is kept; there is no other",
	"hostnames":          "a route of a Service is known by the Service, not by names",
	"queryParams":        "rules do not look at queries",
	"parentRefs":         "is neither a Service nor a Gateway",
}

// readRoute reads an HTTPRoute or GRPCRoute. Those of a Service are about the calls that are made to it; those of a Gateway about calls that the
// gateway makes.
func (i *importer) readRoute(s *source) {
	spec := s.at("spec")
	if len(s.annotations()) > 0 {
		s.extra = s.linkerdBlocks()
	}
	for _, parent := range spec.at("parentRefs").items() {
		kind, group := parent.at("kind").text(), parent.at("group").text()
		switch {
		case kind == "Service" && (group == "" || group == "core"):
			i.addRoute(s, v1alpha1.ServiceDestination{Name: parent.at("name").text(), Namespace: parent.at("namespace").text()}, parent.at("port"))
		case kind == "" || kind == "Gateway":
			i.gatewayRoute(s, parent)
		}
	}
	s.at("spec", "parentRefs").done()
	s.loseUnread(spec)
	s.loseAnnotations()
}

// gatewayRoute reads a route of a Gateway, if that is wanted, as one about the Services behind it.
func (i *importer) gatewayRoute(s *source, parent tree) {
	if !i.Gateways {
		s.differ(parent.path, "the calls are made by the gateway, not by your pods; --gateways writes policies for pods that call the Services behind it")
		s.at("spec").done()
		return
	}
	seen := map[string]bool{}
	for _, rule := range s.at("spec", "rules").items() {
		for _, ref := range rule.at("backendRefs").items() {
			d := v1alpha1.ServiceDestination{Name: ref.at("name").text(), Namespace: ref.at("namespace").text()}
			if key := d.Namespace + "/" + d.Name; d.Name != "" && !seen[key] {
				seen[key] = true
				i.addRoute(s, d, ref.at("port"))
			}
		}
	}
	if len(seen) > 1 {
		s.differ("spec.rules", "its rules have several Services behind them: each policy has all of the rules")
	}
}

func (i *importer) addRoute(s *source, to v1alpha1.ServiceDestination, port tree) {
	if to.Namespace == "" {
		to.Namespace = s.u.GetNamespace()
	}
	if n, ok := port.number(); ok {
		p := intstr.FromInt32(n)
		to.Port = &p
	}
	none := int32(0)
	d := draft{
		from: s.object, name: s.u.GetName(), to: v1alpha1.Destination{Service: &to}, caller: i.callers(s.u.GetNamespace(), to.Namespace),
		unsaid: &v1alpha1.Retry{MaxRetries: &none}, specific: true,
	}
	if s.u.GetKind() == "GRPCRoute" {
		d.to.Protocol = v1alpha1.ProtocolGRPC
	}
	rules := s.at("spec", "rules").items()
	for n, rule := range rules {
		i.addRouteRule(s, &d, rule, n)
	}
	s.drafts = append(s.drafts, d)
}

// addRouteRule adds a rule of a route.
func (i *importer) addRouteRule(s *source, d *draft, rule tree, n int) {
	var blocks v1alpha1.CallBlocks
	s.timeoutsAndRetry(&blocks, rule)
	blocks = over(blocks, s.extra)
	for _, ref := range rule.at("backendRefs").items() {
		s.sameBackend(d, ref)
	}
	var matches []v1alpha1.CallMatch
	every := !rule.at("matches").is()
	for _, m := range rule.at("matches").items() {
		match, usable := s.routeMatch(m)
		if !usable {
			continue
		}
		if isEvery(&match) {
			every = true
		} else {
			matches = append(matches, match)
		}
	}
	d.addPart(part{name: ruleName(rule.at("name").text(), n), matches: matches, blocks: blocks}, every)
}

func isEvery(m *v1alpha1.CallMatch) bool {
	return len(m.Methods)+len(m.Headers) == 0 && m.Path == nil && m.GRPC == nil && m.Host == ""
}

// sameBackend reads a backend that is the Service that the route is of.
func (s *source) sameBackend(d *draft, ref tree) {
	same := ref.at("name").value == d.to.Service.Name && (ref.at("namespace").value == nil || ref.at("namespace").value == d.to.Service.Namespace)
	if same && !ref.at("filters").is() {
		ref.done()
	}
}

func (s *source) timeoutsAndRetry(blocks *v1alpha1.CallBlocks, rule tree) {
	t := v1alpha1.Timeouts{Overall: s.duration(rule.at("timeouts", "request")), PerTry: s.duration(rule.at("timeouts", "backendRequest"))}
	if t != (v1alpha1.Timeouts{}) {
		blocks.Timeouts = &t
	}
	retry := rule.at("retry")
	if !retry.is() {
		return
	}
	var c causes
	c.when(append([]v1alpha1.RetryCondition{v1alpha1.RetryOnReset, v1alpha1.RetryOnPerTryTimeout}, never...)...)
	for _, code := range retry.at("codes").items() {
		if text := code.text(); statusCode.MatchString(text) {
			c.status(v1alpha1.StatusCode(text))
		} else {
			s.lose(code, "%s is no status of a failure (400 to 599)", text)
		}
	}
	if n, ok := retry.at("attempts").number(); ok {
		n = s.atMostRetries(retry.at("attempts"), n)
		c.retry.MaxRetries = &n
	}
	if d := s.duration(retry.at("backoff")); d != "" {
		c.retry.Backoff = &v1alpha1.Backoff{InitialInterval: d}
	}
	blocks.Retry = &c.retry
	s.repeats(retry.path, &c.retry)
}

// maxRetries is how many retries a policy may ask for.
const maxRetries = 10

func (s *source) atMostRetries(t tree, n int32) int32 {
	if n > maxRetries {
		s.differ(t.path, "a policy has at most %d retries", maxRetries)
	}
	return min(n, maxRetries)
}

// routeMatch reads what requests fit. What looks at something that rules do not look at would fit more than is meant, and is left out.
func (s *source) routeMatch(m tree) (out v1alpha1.CallMatch, usable bool) {
	if q := m.at("queryParams"); q.is() {
		s.lose(m, "rules do not look at queries, so what this match was for is not in the policy")
		return out, false
	}
	method := m.at("method")
	if _, grpc := method.value.(map[string]any); grpc {
		if t := method.at("type").text(); t == "RegularExpression" {
			s.lose(m, "gRPC methods are matched by their names, not by regular expressions")
			return out, false
		}
		if g := (v1alpha1.GRPCMatch{Service: method.at("service").text(), Method: method.at("method").text()}); g != (v1alpha1.GRPCMatch{}) {
			out.GRPC = &g
		}
	} else if text := method.text(); text != "" {
		out.Methods = []string{text}
	}
	if value := m.at("path", "value").text(); value != "" {
		out.Path = pathMatch(m.at("path", "type").text(), value)
	}
	for _, h := range m.at("headers").items() {
		match := v1alpha1.RequestHeaderMatch{Name: v1alpha1.HeaderName(h.at("name").text()), Value: h.at("value").text()}
		if h.at("type").text() == "RegularExpression" {
			match.Type = v1alpha1.HeaderRegularExpression
		}
		out.Headers = append(out.Headers, match)
	}
	return out, true
}

// pathMatch returns nil for a match of every path.
func pathMatch(kind, value string) *v1alpha1.PathMatch {
	switch kind {
	case "Exact":
		return &v1alpha1.PathMatch{Type: v1alpha1.PathExact, Value: value}
	case "RegularExpression":
		return &v1alpha1.PathMatch{Type: v1alpha1.PathRegularExpression, Value: value}
	}
	if value == "/" {
		return nil
	}
	return &v1alpha1.PathMatch{Type: v1alpha1.PathPrefix, Value: value}
}
