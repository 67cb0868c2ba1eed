package differential

// themes are all scenarios there are.
func themes() []theme {
	return []theme{
		{"raw", rawScenarios()},
		{"server-first", serverFirstScenarios()},
		{"methods", methodScenarios()},
		{"answers", answerScenarios()},
		{"slow", slowScenarios()},
		{"kept", keptScenarios()},
		{"uploads", uploadScenarios()},
		{"streams", streamScenarios()},
		{"tunnels", tunnelScenarios()},
		{"odd-requests", oddRequestScenarios()},
		{"odd-answers", oddAnswerScenarios()},
		{"http2", http2Scenarios()},
		{"http2-ends", http2EndScenarios()},
		{"grpc", grpcScenarios()},
		{"tls", tlsScenarios()},
		{"originate", originateScenarios()},
		{"intercept", withSlack(interceptScenarios())},
		{"via", withSlack(viaScenarios())},
		{"dry-run", dryRunScenarios()},
		{"large", heavy(largeScenarios())},
		{"many", heavy(manyScenarios())},
		{"leaving", leavingScenarios()},
		{"network", networkScenarios()},
		{"services", serviceScenarios()},
		{"dual-stack", dualStackScenarios()},
		{"pod", podScenarios()},
		{"policy", policyScenarios()},
		{"clients", clientScenarios()},
		{"probes", probeScenarios()},
		{"servers", serverScenarios()},
	}
}
