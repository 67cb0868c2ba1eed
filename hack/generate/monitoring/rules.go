package main

import (
	"strings"

	"sigs.k8s.io/yaml"
)

// rule is a rule of Prometheus: one that records a series, or an alert.
type rule struct {
	Record      string            `json:"record,omitempty"`
	Alert       string            `json:"alert,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

// runbooks is the page with a section for each alert.
const runbooks = "https://fairlead.dev/docs/operations/runbooks.md"

// The names of what is recorded.
const (
	calls   = "policy_target:fairlead_calls:rate5m"
	good    = "policy_target:fairlead_call_success:ratio_rate5m"
	retries = "policy_target:fairlead_retries:ratio_rate5m"
)

// perTarget is how many per second of a metric there are at each target of each policy.
func perTarget(selector string) string { return "sum by (policy, target) (rate(" + selector + "[5m]))" }

// shareOf is a share that is 0, and not missing, where there is the whole and nothing of the part.
func shareOf(part, whole string) string {
	return "(" + part + " or 0 * " + whole + ") / (" + whole + " > 0)"
}

func recorded() []rule {
	attempts := perTarget("fairlead_proxy_tries_total")
	return []rule{
		{Record: calls, Expr: perTarget("fairlead_proxy_retry_decisions_total")},
		{Record: good, Expr: shareOf(perTarget(`fairlead_proxy_retry_decisions_total{retry_decision=~"not_needed|recovered"}`), calls)},
		{Record: retries, Expr: shareOf(perTarget(`fairlead_proxy_tries_total{attempt="retry"}`), attempts)},
	}
}

// How grave an alert is: critical is for now, warning for today, info for when there is time.
const (
	critical = "critical"
	warning  = "warning"
	info     = "info"
)

// alert returns an alert with its runbook.
func alert(name, severity, lasting, expr, summary, description string) rule {
	return rule{
		Alert: name, Expr: expr, For: lasting, Labels: map[string]string{"severity": severity},
		Annotations: map[string]string{"summary": summary, "description": description, "runbook_url": runbooks + "#" + strings.ToLower(name)},
	}
}

const callsOf = "Calls under policy {{ $labels.policy }} to {{ $labels.target }}"

func callAlerts() []rule {
	const enough = " and " + calls + " > 0.1"
	return []rule{
		alert("FairleadSuccessDropped", warning, "5m", good+" < avg_over_time("+good+"[1h] offset 10m) - 0.1"+enough,
			"Fewer calls to {{ $labels.target }} succeed than an hour ago.",
			callsOf+": {{ $value | humanizePercentage }} succeed, at least 10 points fewer than in the hour before."),
		alert("FairleadSuccessLow", critical, "15m", good+" < 0.5"+enough,
			"Most calls to {{ $labels.target }} fail.", callsOf+": only {{ $value | humanizePercentage }} succeed."),
		alert("FairleadBreakerOpenLong", warning, "15m", "sum by (policy, target) (fairlead_breaker_open) > 0",
			"A circuit breaker for {{ $labels.target }} has been open for 15 minutes.", callsOf+" are refused. Circuit breakers that are open: {{ $value }}."),
		alert("FairleadRetryBudgetExhausted", warning, "10m",
			perTarget(`fairlead_proxy_retry_decisions_total{retry_decision="budget"}`)+" / "+calls+" > 0.01",
			"Retries to {{ $labels.target }} are used up.", callsOf+": {{ $value | humanizePercentage }} failed and were not retried, because the policy's budget for retries was used up."),
	}
}

func agentAlerts() []rule {
	const node = "The agent on node {{ $labels.node }} ({{ $labels.instance }})"
	return []rule{
		alert("FairleadCaptureFailing", warning, "5m", "fairlead_capture_failed_pods > 0",
			"Pods are not captured.", node+" cannot capture pods: {{ $value }}. Policies are not enforced on their calls."),
		alert("FairleadCaptureShedding", warning, "5m", "fairlead_capture_shedding_pods > 0",
			"An agent is overloaded.", node+" lacks connections, descriptors or memory: new connections of pods go direct, or are refused. Pods: {{ $value }}."),
		alert("FairleadAgentPanicked", warning, "", "increase(fairlead_proxy_panics_total[15m]) > 0",
			"An agent has made a mistake.", node+" has closed connections because serving them failed by a mistake of its own: {{ $value | humanize }} in 15 minutes."),
		alert("FairleadSeriesOverflow", info, "15m", "fairlead_metrics_overflow_targets > 0",
			"An agent has too many series.", node+" shows destinations of policies together, as overflow: {{ $value }}."),
		alert("FairleadSpansLost", info, "15m", `sum without (result) (rate(fairlead_tracing_spans_total{result=~"dropped|failed"}[10m])) > 0`,
			"Spans are lost.", node+" loses spans of traced calls: {{ $value | humanize }} per second."),
		alert("FairleadLogLinesLost", info, "15m", `sum without (result) (rate(fairlead_accesslog_lines_total{result="dropped"}[10m])) > 0`,
			"Lines of the access log are lost.", node+" writes not all lines of its access log: {{ $value | humanize }} per second are dropped."),
		alert("FairleadExportedLinesLost", info, "15m", `sum without (result) (rate(fairlead_accesslog_exported_lines_total{result=~"dropped|failed"}[10m])) > 0`,
			"Lines of the access log do not reach the collector.", node+" loses lines of the access log that are to go to the collector: {{ $value | humanize }} per second."),
		alert("FairleadBodiesNotKept", info, "15m", "rate(fairlead_replay_capped_total[10m]) > 0",
			"Calls lose their retries for want of memory.", node+" has no memory for some request bodies, of one pod or of all, and does not retry their calls: {{ $value | humanize }} per second."),
	}
}

func managerAlerts() []rule {
	expiry := func(authority string) string {
		return "max(fairlead_controller_" + authority + "_not_after_timestamp_seconds > 0) - time() < 30 * 86400"
	}
	const left = "ends in {{ $value | humanizeDuration }}."
	return []rule{
		alert("FairleadManagerAway", critical, "10m", "(sum(fairlead_controller_agents) or vector(0)) < 1",
			"No manager serves agents.", "No agent is connected to a manager, or no manager is scraped. Agents enforce what they have; changes do not reach them."),
		alert("FairleadAgentsLost", warning, "5m", "max(fairlead_controller_nodes_without_agent) > 0",
			"Nodes have no agent.", "Nodes with governed pods and no connected agent: {{ $value }}."),
		alert("FairleadPolicyNotProgrammed", warning, "10m", `min by (policy) (fairlead_controller_policy_programmed{reason!="RollingOut"}) < 1`,
			"Policy {{ $labels.policy }} is not in force everywhere.", "Policy {{ $labels.policy }} is not in force on every node that it concerns."),
		alert("FairleadCAExpiresSoon", critical, "1h", expiry("ca"), "The manager's CA ends soon.", "The CA that signs the manager's certificate "+left),
		alert("FairleadEgressCAExpiresSoon", critical, "1h", expiry("egress_ca"), "The egress CA ends soon.", "The CA of intercepted TLS "+left),
	}
}

// prometheusRule is the object that the Prometheus operator reads, as YAML.
func prometheusRule() ([]byte, error) {
	return yaml.Marshal(map[string]any{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
		"metadata": map[string]any{
			"name": "fairlead", "namespace": "fairlead-system", "labels": map[string]string{"app.kubernetes.io/name": "fairlead", "app.kubernetes.io/part-of": "fairlead"},
		},
		"spec": map[string]any{"groups": []group{
			{"fairlead.rules", recorded()}, {"fairlead.calls", callAlerts()}, {"fairlead.agents", agentAlerts()}, {"fairlead.manager", managerAlerts()},
		}},
	})
}
