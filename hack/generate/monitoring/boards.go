package main

// dashboards are all that there are, by the names of their files.
func dashboards() map[string]*dashboard {
	return map[string]*dashboard{"cluster": clusterDashboard(), "policy": policyDashboard(), "agent": agentDashboard()}
}

const pair = "{{policy}} → {{target}}"

func clusterDashboard() *dashboard {
	d := newDashboard("cluster", "How the calls of all pods fare that policies govern, and how fairlead itself does.")
	d.row("Now")
	d.stat("Policies", "none", "Policies that select something or nothing, but for those that were refused before they were known.",
		"count(count by (policy) (fairlead_controller_policy_programmed))")
	d.stat("In force everywhere", "percentunit", "Policies that every node has that they concern (condition Programmed).",
		"1 - avg(min by (policy) (fairlead_controller_policy_programmed) < bool 1)")
	d.stat("Agents", "none", "Agents that are connected to the manager.", "sum(fairlead_controller_agents)")
	d.stat("Nodes without agent", "none", "Nodes with governed pods whose agent is not connected.", "max(fairlead_controller_nodes_without_agent)", level{1, "red"})
	d.stat("Success", "percentunit", "Calls whose last attempt was good enough.", success("", ""))
	d.stat("Open breakers", "none", "Circuit breakers that are open or half-open, on all nodes.", "sum(fairlead_breaker_open)", level{1, "orange"})
	d.row("Calls")
	d.stacked("Calls by how they end", "reqps", "ok is a response of the upstream, with the class of its status; other kinds were answered by the agent.",
		query{expr: "sum by (kind, code) (rate(fairlead_proxy_requests_total[$__rate_interval]))", legend: "{{kind}} {{code}}"})
	d.graph("Success, the ten lowest", "percentunit", "", query{expr: "bottomk(10, policy_target:fairlead_call_success:ratio_rate5m)", legend: pair})
	d.graph("Busiest destinations", "reqps", "", query{expr: "topk(10, policy_target:fairlead_calls:rate5m)", legend: pair})
	d.stacked("Retry decisions", "reqps", "Why calls were retried or not.",
		query{expr: "sum by (retry_decision) (rate(fairlead_proxy_retry_decisions_total[$__rate_interval]))", legend: "{{retry_decision}}"})
	d.graph("Load that retries add, the ten highest", "percentunit", "The share of attempts that are retries.",
		query{expr: "topk(10, policy_target:fairlead_retries:ratio_rate5m)", legend: pair})
	d.graph("Duration of calls", "s", "From the head of the request to the head of the answer, over all attempts and waits.", durations("fairlead_proxy_request_duration_seconds", "")...)
	clusterProtection(d)
	clusterManager(d)
	return d
}

func clusterProtection(d *dashboard) {
	d.row("Protection and capture")
	d.graph("Open breakers", "none", "", query{expr: "topk(10, sum by (policy, target) (fairlead_breaker_open))", legend: pair})
	d.graph("Ejected endpoints", "none", "", query{expr: "topk(10, sum by (policy, target) (fairlead_endpoints_ejected))", legend: pair})
	d.stacked("Answered by the agent", "reqps", "Calls that no upstream has answered.",
		query{expr: `sum by (kind) (rate(fairlead_proxy_requests_total{kind!="ok"}[$__rate_interval]))`, legend: "{{kind}}"})
	d.graph("Calls that wait", "none", "",
		query{expr: "sum(fairlead_upstream_waiting)", legend: "for a connection"}, query{expr: "sum(fairlead_limit_waiting)", legend: "for a limit"})
	d.graph("Pods", "none", "", query{expr: "sum(fairlead_capture_pods)", legend: "captured"},
		query{expr: "sum(fairlead_capture_failed_pods)", legend: "should be and are not"}, query{expr: "sum(fairlead_capture_shedding_pods)", legend: "shed for overload"})
	d.graph("Connections passed through untouched", "cps", "By why.",
		query{expr: "sum by (reason) (rate(fairlead_proxy_passed_connections_total[$__rate_interval]))", legend: "{{reason}}"})
}

func clusterManager(d *dashboard) {
	d.row("Manager")
	d.table("Policies in force", "Whether each policy is in force on every node that it concerns, and why or why not.",
		"sort(min by (policy, reason) (fairlead_controller_policy_programmed))", map[string]string{"0": "no", "1": "yes"})
	d.graph("Time until agents have acknowledged a change", "s", "",
		query{expr: "histogram_quantile(0.5, sum by (le) (rate(fairlead_controller_acknowledgement_seconds_bucket[$__rate_interval])))", legend: "half of them"},
		query{expr: "histogram_quantile(0.99, sum by (le) (rate(fairlead_controller_acknowledgement_seconds_bucket[$__rate_interval])))", legend: "99 %"})
	d.graph("What the manager holds", "none", "",
		query{expr: "max(fairlead_controller_workloads)", legend: "governed pods"}, query{expr: "max(fairlead_controller_profiles)", legend: "profiles"},
		query{expr: "max(fairlead_controller_destinations)", legend: "destinations"}, query{expr: "max(fairlead_controller_limit_shares)", legend: "shares of limits"})
	d.graph("Work of the manager", "ops", "",
		query{expr: "sum by (class) (rate(fairlead_controller_status_writes_total[$__rate_interval]))", legend: "status writes: {{class}}"},
		query{expr: "sum(rate(fairlead_controller_profiles_compiled_total[$__rate_interval]))", legend: "profiles compiled"})
	d.stat("CA ends in", "s", "When the CA ends that signs the manager's own certificate; it is renewed 90 days before.",
		"max(fairlead_controller_ca_not_after_timestamp_seconds) - time()")
}

func agentDashboard() *dashboard {
	d := newDashboard("agent", "How the agents themselves do.", choice("instance", "Agent", "fairlead_proxy_connections"))
	const of = `{instance=~"$instance"}`
	each := func(metric string) query { return query{expr: metric + of, legend: "{{instance}}"} }
	rate := func(metric string) query {
		return query{expr: "rate(" + metric + of + "[$__rate_interval])", legend: "{{instance}}"}
	}
	by := func(metric, labels, legend string) query {
		return query{expr: "sum by (" + labels + ") (rate(" + metric + of + "[$__rate_interval]))", legend: legend}
	}
	d.row("Resources")
	d.graph("CPU", "none", "Cores that are used.", rate("process_cpu_seconds_total"))
	d.graph("Memory", "bytes", "", each("process_resident_memory_bytes"))
	d.graph("Open files", "none", "", each("process_open_fds"))
	d.graph("Goroutines", "none", "", each("go_goroutines"))
	d.graph("Bodies kept for retries", "bytes", "", each("fairlead_replay_bytes"))
	d.graph("Bodies not kept for want of memory", "ops", "", rate("fairlead_replay_capped_total"))
	d.row("Capture")
	d.graph("Captured pods", "none", "", each("fairlead_capture_pods"))
	d.graph("Pods that should be captured and are not", "none", "", each("fairlead_capture_failed_pods"))
	d.graph("Pods shed for overload", "none", "", each("fairlead_capture_shedding_pods"))
	d.graph("Connections refused or cut for overload", "cps", "", by("fairlead_capture_shed_connections_total", "instance, how", "{{instance}} {{how}}"))
	d.graph("Connections older than their policy", "none", "Open connections that a policy would govern if they were not older than it.",
		query{expr: "sum by (policy) (fairlead_capture_older_connections" + of + ")", legend: "{{policy}}"})
	d.graph("Connections cut when an agent stopped, and loops", "ops", "", rate("fairlead_capture_cut_connections_total"), rate("fairlead_capture_loops_total"))
	d.row("Connections")
	d.graph("Open connections", "none", "", each("fairlead_proxy_connections"))
	d.graph("New connections", "cps", "", rate("fairlead_proxy_connections_total"))
	d.stacked("Passed through untouched", "cps", "By why.", by("fairlead_proxy_passed_connections_total", "reason", "{{reason}}"))
	d.graph("Malformed requests", "reqps", "By the status of the answer.", by("fairlead_proxy_malformed_requests_total", "code", "{{code}}"))
	d.graph("Floods", "ops", "Connections and streams that were ended because the peer did too much of something.", by("fairlead_proxy_floods_total", "peer, kind", "{{peer}} {{kind}}"))
	d.graph("Panics", "ops", "Connections that were closed because serving them failed by a mistake of the agent.", rate("fairlead_proxy_panics_total"))
	d.row("What agents say")
	d.graph("Lines of the access log", "ops", "", by("fairlead_accesslog_lines_total", "result", "{{result}}"))
	d.graph("Lines of the access log to the collector", "ops", "Where agents export them.", by("fairlead_accesslog_exported_lines_total", "result", "{{result}}"))
	d.graph("Spans", "ops", "", by("fairlead_tracing_spans_total", "result", "{{result}}"))
	d.graph("Destinations shown together", "none", "Destinations of policies that have no series of their own, because the agent would have too many.", each("fairlead_metrics_overflow_targets"))
	d.graph("Scrapes", "s", "How long scraping an agent takes.", query{expr: "scrape_duration_seconds" + of + " and on (instance) fairlead_proxy_connections", legend: "{{instance}}"})
	return d
}
