package main

import (
	"fmt"
	"strings"

	"fairlead.dev/fairlead/bench/blocks"
	"fairlead.dev/fairlead/bench/report"
)

// against names whom a candidate is compared with: haproxy, with as many threads, and where it has several itself with one. Other versions
// of fairlead are compared with fairlead, too.
func against(candidate string) []string {
	proxy, threads, several := strings.Cut(candidate, "/")
	var all []string
	switch {
	case !several && proxy != "haproxy":
		all = append(all, "haproxy")
	case several && proxy != "haproxy":
		all = append(all, "haproxy/"+threads)
	}
	if strings.HasPrefix(proxy, also) {
		all = append(all, "fairlead")
	}
	if strings.HasPrefix(candidate, withBlock+blocks.Everything) {
		all = append(all, haproxyWithBlocks)
	}
	if several && threads != "1" {
		all = append(all, proxy+"/1")
	}
	return all
}

// goals are what the ratios are to reach, where several cores are so many, and what figures are by themselves.
func goals(cores int) []report.Goal {
	several := func(proxy string) string { return fmt.Sprintf("%s/%d", proxy, cores) }
	const cpu, rate = "cpu_us_per_request", "requests_per_second"
	return append(figureGoals(), []report.Goal{
		{Bench: "http1-keepalive", Metric: cpu, Candidate: "fairlead", Against: "haproxy", Limit: 0.90},
		{Bench: blocksBench, Metric: cpu, Candidate: withBlock + blocks.Everything, Against: "haproxy", Limit: 0.90},
		{Bench: "http1-post", Metric: cpu, Candidate: "fairlead", Against: "haproxy", Limit: 0.90},
		{Bench: "http1-retries", Metric: cpu, Candidate: "fairlead", Against: "haproxy", Limit: 1.10},
		{Bench: "http1-constant-rate", Metric: "p50_us", Candidate: "fairlead", Against: "haproxy", Limit: 1},
		{Bench: "http1-constant-rate", Metric: "slice_p99_us", Candidate: "fairlead", Against: "haproxy", Limit: 1},
		{Bench: "http2-constant-rate", Metric: "slice_p99_us", Candidate: "fairlead", Against: "haproxy", Limit: 1},
		{Bench: "grpc-constant-rate", Metric: "slice_p99_us", Candidate: "fairlead", Against: "haproxy", Limit: 1},
		{Bench: "tls-originate-constant-rate", Metric: "slice_p99_us", Candidate: "fairlead", Against: "haproxy", Limit: 1},
		{Bench: "http1-new-connections", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 0.80, AtLeast: true},
		{Bench: "http1-1mib", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 1, AtLeast: true},
		{Bench: "http1-bulk", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 1, AtLeast: true},
		{Bench: "http1-bulk-upload", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 1, AtLeast: true},
		{Bench: "http2-bulk-upload", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 0.80, AtLeast: true},
		{Bench: "http2-bulk", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 0.80, AtLeast: true},
		{Bench: "grpc-unary", Metric: cpu, Candidate: "fairlead", Against: "haproxy", Limit: 1.50},
		{Bench: "tls-originate", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 0.90, AtLeast: true},
		{Bench: "tls-originate-http2", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 0.90, AtLeast: true},
		{Bench: "opaque-bulk", Metric: rate, Candidate: "fairlead", Against: "haproxy", Limit: 0.95, AtLeast: true},
		{Bench: "http2-unary", Metric: cpu, Candidate: "fairlead", Against: "haproxy", Limit: 1.50},
		{Bench: "http1-several-cores", Metric: cpu, Candidate: several("fairlead"), Against: "fairlead/1", Limit: 1.10},
		{Bench: "http1-several-cores-post", Metric: cpu, Candidate: several("fairlead"), Against: "fairlead/1", Limit: 1.10},
		{
			Bench: "http1-several-cores-new-connections", Metric: rate, Candidate: several("fairlead"), Against: several("haproxy"),
			Limit: 0.80, AtLeast: true,
		},
	}...)
}

// figureGoals are of figures by themselves. What is counted in allocations includes reports and the look at the counter, a hundred or two
// of them in a measurement: 0 on the path of a call shows as less than 0.05.
func figureGoals() []report.Goal {
	const allocations, memory = "allocs_per_request", "bytes_per_idle_connection"
	return []report.Goal{
		{Bench: "http1-keepalive", Metric: allocations, Candidate: "fairlead", Limit: 0.05},
		{Bench: blocksBench, Metric: allocations, Candidate: withBlock + blocks.Everything, Limit: 0.05},
		{Bench: "http1-post", Metric: allocations, Candidate: "fairlead", Limit: 0.05},
		{Bench: "http2-unary", Metric: allocations, Candidate: "fairlead", Limit: 2},
		{Bench: "grpc-unary", Metric: allocations, Candidate: "fairlead", Limit: 2},
		{Bench: "idle-connections", Metric: memory, Candidate: "fairlead", Limit: 6 << 10},
		{Bench: "idle-websockets", Metric: memory, Candidate: "fairlead", Limit: 8 << 10},
	}
}
