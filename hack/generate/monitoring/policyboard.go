package main

import "fmt"

// chosen selects the series of the policies and targets that the dashboard's variables name.
const chosen = `policy=~"$policy", target=~"$target"`

// success is the share of calls that end well, of the chosen ones or all, by some labels.
func success(of, by string) string {
	good := `retry_decision=~"not_needed|recovered"`
	all := ""
	if of != "" {
		good, all = of+", "+good, "{"+of+"}"
	}
	rate := func(selector string) string {
		return "sum" + by + " (rate(fairlead_proxy_retry_decisions_total" + selector + "[$__rate_interval]))"
	}
	return shareOf(rate("{"+good+"}"), rate(all))
}

// durations are quantiles of a histogram.
func durations(metric, of string) (out []query) {
	for _, q := range []string{"0.5", "0.9", "0.99"} {
		out = append(out, query{
			expr:      fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(%s_bucket%s[$__rate_interval])))", q, metric, of),
			legend:    map[string]string{"0.5": "half of them", "0.9": "90 %", "0.99": "99 %"}[q],
			exemplars: q == "0.99",
		})
	}
	return out
}

// counted is how many per second there are of the chosen ones, by a label.
func counted(metric, label string) query {
	return query{expr: fmt.Sprintf("sum by (%s) (rate(%s{%s}[$__rate_interval]))", label, metric, chosen), legend: "{{" + label + "}}"}
}

// added is the sum of a gauge over the chosen ones.
func added(metric, legend string) query {
	return query{expr: fmt.Sprintf("sum(%s{%s})", metric, chosen), legend: legend}
}

func policyDashboard() *dashboard {
	d := newDashboard("policy", "What one policy does, or several, at one of their destinations or all.",
		choice("policy", "Policy", "fairlead_breaker_open"), choice("target", "Destination", `fairlead_breaker_open{policy=~"$policy"}`))
	policyNow(d)
	d.row("Calls")
	d.stacked("Calls by how they end", "reqps", "ok is a response of the upstream, with the class of its status; other kinds were answered by the agent.",
		query{expr: "sum by (kind, code) (rate(fairlead_proxy_requests_total{" + chosen + "}[$__rate_interval]))", legend: "{{kind}} {{code}}"})
	d.graph("Success", "percentunit", "", query{expr: success(chosen, " by (policy, target)"), legend: pair})
	d.stacked("Retry decisions", "reqps", "Why calls were retried or not.", counted("fairlead_proxy_retry_decisions_total", "retry_decision"))
	d.stacked("Attempts by why they were made", "reqps", "", counted("fairlead_proxy_tries_total", "attempt"))
	d.stacked("Attempts by how they end", "reqps", "",
		query{expr: "sum by (kind, code) (rate(fairlead_proxy_tries_total{" + chosen + "}[$__rate_interval]))", legend: "{{kind}} {{code}}"})
	d.graph("Answers that broke off", "reqps", "Responses whose body could not be forwarded to its end.", counted("fairlead_proxy_truncated_responses_total", "target"))
	of := "{" + chosen + "}"
	d.graph("Duration of calls", "s", "From the head of the request to the head of the answer. Points are calls that were traced.", durations("fairlead_proxy_request_duration_seconds", of)...)
	d.graph("Duration of attempts", "s", "From dispatching an attempt to its response head or failure. Points are attempts that were traced.", durations("fairlead_proxy_try_duration_seconds", of)...)
	policyProtection(d)
	policyExtras(d)
	return d
}

func policyNow(d *dashboard) {
	d.row("Now")
	d.stat("Calls", "reqps", "", "sum(rate(fairlead_proxy_requests_total{"+chosen+"}[$__rate_interval]))")
	d.stat("Success", "percentunit", "Calls whose last attempt was good enough.", success(chosen, ""))
	d.stat("99 % of calls within", "s", "", durations("fairlead_proxy_request_duration_seconds", "{"+chosen+"}")[2].expr)
	d.stat("In force", "none", "1 if every node concerned has the policy.", `min(fairlead_controller_policy_programmed{policy=~"$policy"})`)
	d.stat("Open breakers", "none", "", added("fairlead_breaker_open", "").expr, level{1, "orange"})
	d.stat("Ejected endpoints", "none", "", added("fairlead_endpoints_ejected", "").expr, level{1, "orange"})
}

func policyProtection(d *dashboard) {
	d.row("Protection")
	d.graph("Breakers", "none", "", added("fairlead_breaker_open", "open or half-open"), added("fairlead_breaker_half_open", "half-open"))
	d.graph("Openings of breakers", "ops", "", counted("fairlead_breaker_opened_total", "target"))
	d.graph("Ejected endpoints", "none", "Endpoints that breakers of their own keep out.", added("fairlead_endpoints_ejected", "ejected"))
	d.graph("Ejections", "ops", "By why.", counted("fairlead_endpoint_ejections_total", "reason"))
	d.graph("Connections", "none", "", query{expr: "sum by (state) (fairlead_upstream_connections{" + chosen + "})", legend: "{{state}}"})
	d.graph("Calls that wait", "none", "", added("fairlead_upstream_waiting", "for a connection"), added("fairlead_limit_waiting", "for a limit"))
	d.graph("Concurrency", "none", "", added("fairlead_concurrency_running", "running"), added("fairlead_concurrency_limit", "limit"))
	d.graph("Shares of limits of the cluster", "reqps", "Calls per second that may start by shares of rate limits with scope Cluster.", added("fairlead_limit_share", "all nodes"))
}

func policyExtras(d *dashboard) {
	d.row("Where the policy asks for it")
	d.graph("Hedges", "reqps", "", counted("fairlead_proxy_hedges_total", "result"))
	d.graph("Fallbacks", "reqps", "", counted("fairlead_proxy_fallbacks_total", "answer"))
	d.graph("Adaptive timeout", "s", "How long an attempt may take at present.", query{expr: "max by (target) (fairlead_attempt_timeout_seconds{" + chosen + "})", legend: "{{target}}"})
	d.graph("Injected faults", "reqps", "", counted("fairlead_proxy_faults_injected_total", "kind"))
	d.graph("gRPC by status", "reqps", "", counted("fairlead_proxy_grpc_calls_total", "status"))
	d.graph("Failures of TLS with the upstream", "ops", "", counted("fairlead_proxy_tls_failures_total", "reason"))
	d.graph("Intercepted TLS of pods", "ops", "", counted("fairlead_proxy_pod_handshakes_total", "result"))
	d.graph("What a dry run would have done", "reqps", "", counted("fairlead_dry_run_decisions_total", "would"))
	d.row("Connections that are passed through")
	d.graph("Open", "none", "", added("fairlead_proxy_opaque_open_connections", "open"))
	d.graph("New", "cps", "", counted("fairlead_proxy_opaque_connections_total", "target"))
	d.graph("Bytes", "Bps", "", counted("fairlead_proxy_opaque_bytes_total", "direction"))
	d.graph("How long they last", "s", "", query{
		expr: "histogram_quantile(0.9, sum by (le) (rate(fairlead_proxy_tunnel_duration_seconds_bucket{" + chosen + "}[$__rate_interval])))", legend: "90 %",
	})
}
