package apivalidation

func timeoutRules() []rule {
	return []rule{{
		message: "write whole numbers with units, such as 500ms, 2s or 1m30s",
		// Each once alone and once in a rule that compares it, which must have nothing to add.
		refuse: []string{
			`timeouts: {perTry: 2 s}`,
			`timeouts: {perTry: 1.5s}`,
			`timeouts: {perTry: "2"}`,
			`timeouts: {perTry: ""}`,
			`timeouts: {perTry: -1s}`,
			`timeouts: {perTry: 100us}`,
			`timeouts: {perTry: soon}`,
			`timeouts: {perTry: 2 s, overall: 1s, maxDuration: 10s}`,
			`timeouts: {perTry: 1s, overall: 10 s, maxDuration: 1s, adaptive: {min: 1s, max: 2s}}`,
			`timeouts: {overall: 10s, maxDuration: 5 s}`,
			`timeouts: {adaptive: {min: 1 s, max: 2s}}`,
			`timeouts: {overall: 1s, adaptive: {min: 1s, max: 2 s}}`,
			`{timeouts: {overall: 1 s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {perTry: 2s}}]}`,
			`{timeouts: {perTry: 2s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {overall: 1 s}}]}`,
			`{timeouts: {overall: 1s}, retry: {hedging: {delay: 2 s}}}`,
			`retry: {backoff: {initialInterval: 1.5s, maxInterval: 1s}}`,
			`retry: {backoff: {initialInterval: 1s, maxInterval: soon}}`,
			`retry: {budget: {window: 10 s}}`,
			`retry: {retryAfter: {max: 1.5h}}`,
			`circuitBreaker: {slowCalls: {threshold: 1 s}}`,
			`circuitBreaker: {consecutiveFailures: 5, open: {duration: 1 s, maxDuration: 1s}}`,
			`rateLimit: {requests: 100, per: 1 s}`,
			`rateLimit: {requests: 100, onLimit: Queue, maxWait: 1 s}`,
			`concurrency: {max: 50, maxQueued: 10, maxWait: soon}`,
			`connectionPool: {idleTimeout: 1 s, pendingTimeout: 1 s, maxPending: 1}`,
			`connectionPool: {tcpKeepAlive: {idle: 1 s, interval: 1 s}, http2: {pingTimeout: 1 s}}`,
			`rollout: {percent: 10, observe: 1 m}`,
		},
		accept: []string{`timeouts: {perTry: 500ms}`, `timeouts: {perTry: 2s}`, `timeouts: {perTry: 1m30s}`, `timeouts: {perTry: 99999h99999h99999h99999h}`},
	}, {
		message: "perTry must not be longer than overall: shorten perTry or lengthen overall",
		refuse:  []string{`timeouts: {perTry: 2s, overall: 1s}`, `timeouts: {perTry: 1m1s, overall: 1m}`},
		accept: []string{
			`timeouts: {perTry: 2s, overall: 10s}`,
			`timeouts: {perTry: 1000ms, overall: 1s}`,
			`timeouts: {perTry: 2s, overall: 0s}`,
			`timeouts: {perTry: 0s, overall: 1s}`,
		},
	}, {
		message: "adaptive.max must not be longer than overall: shorten adaptive.max or lengthen overall",
		refuse:  []string{`timeouts: {overall: 1s, adaptive: {min: 500ms, max: 5s}}`},
		accept: []string{
			`timeouts: {overall: 5s, adaptive: {min: 500ms, max: 5s, deviations: "2", window: 200}}`,
			`timeouts: {overall: 0s, adaptive: {min: 500ms, max: 5s}}`,
		},
	}, {
		message: "maxDuration covers the whole exchange and must not be shorter than overall: lengthen maxDuration or shorten overall",
		refuse:  []string{`timeouts: {overall: 10s, maxDuration: 5s}`},
		accept: []string{
			`timeouts: {overall: 10s, maxDuration: 1h}`,
			`timeouts: {overall: 10s, maxDuration: 0s}`,
			`timeouts: {overall: 0s, maxDuration: 5s}`,
		},
	}, {
		message: "adaptive needs min and max, such as min: 500ms and max: 5s (or mode: Disabled)",
		refuse: []string{
			`timeouts: {adaptive: {}}`,
			`timeouts: {adaptive: {min: 500ms}}`,
			`timeouts: {adaptive: {mode: Enabled, max: 5s}}`,
		},
		accept: []string{`timeouts: {adaptive: {mode: Disabled}}`, `timeouts: {adaptive: {mode: Enabled, min: 1ms, max: 5s}}`},
	}, {
		message: "adaptive.min must be longer than 0s",
		refuse:  []string{`timeouts: {adaptive: {min: 0s, max: 5s}}`},
		accept:  []string{`timeouts: {adaptive: {min: 1ms, max: 5s}}`},
	}, {
		message: "adaptive.min must not be longer than adaptive.max",
		refuse:  []string{`timeouts: {adaptive: {min: 6s, max: 5s}}`},
		accept:  []string{`timeouts: {adaptive: {min: 5s, max: 5s}}`},
	}, {
		message: "deviations must be at most 10",
		refuse:  []string{`timeouts: {adaptive: {min: 1s, max: 5s, deviations: "10.1"}}`},
		accept:  []string{`timeouts: {adaptive: {min: 1s, max: 5s, deviations: "10"}}`, `timeouts: {adaptive: {min: 1s, max: 5s, deviations: "0.5"}}`},
	}}
}

func poolRules() []rule {
	return []rule{{
		message: "maxConnectionsPerEndpoint must not be above maxConnections",
		refuse:  []string{`connectionPool: {maxConnections: 10, maxConnectionsPerEndpoint: 11}`},
		accept:  []string{`connectionPool: {maxConnections: 10, maxConnectionsPerEndpoint: 10}`, `connectionPool: {maxConnections: 10}`},
	}, {
		message: "maxIdlePerEndpoint must not be above maxConnectionsPerEndpoint",
		refuse:  []string{`connectionPool: {maxConnectionsPerEndpoint: 10, maxIdlePerEndpoint: 11}`},
		accept:  []string{`connectionPool: {maxConnectionsPerEndpoint: 10, maxIdlePerEndpoint: 0}`},
	}, {
		message: "pendingTimeout must be longer than 0s; to let no call wait, set maxPending: 0",
		refuse:  []string{`connectionPool: {maxPending: 1, pendingTimeout: 0s}`},
		accept:  []string{`connectionPool: {maxPending: 0, pendingTimeout: 0s}`, `connectionPool: {maxPending: 1, pendingTimeout: 1ms}`},
	}, {
		message: "idleTimeout must be longer than 0s; to keep no connection, set maxIdlePerEndpoint: 0",
		refuse:  []string{`connectionPool: {idleTimeout: 0s}`},
		accept:  []string{`connectionPool: {idleTimeout: 60s, maxLifetime: 0s, maxRequestsPerConnection: 0}`},
	}, {
		message: "tcpKeepAlive.idle must be at least 1s, or 0s to send no probes",
		refuse:  []string{`connectionPool: {tcpKeepAlive: {idle: 500ms}}`},
		accept:  []string{`connectionPool: {tcpKeepAlive: {idle: 0s}}`, `connectionPool: {tcpKeepAlive: {idle: 1s, probes: 3}}`},
	}, {
		message: "tcpKeepAlive.interval must be at least 1s",
		refuse:  []string{`connectionPool: {tcpKeepAlive: {interval: 0s}}`},
		accept:  []string{`connectionPool: {tcpKeepAlive: {interval: 10s}}`},
	}, {
		message: "http2.pingTimeout must be longer than 0s",
		refuse:  []string{`connectionPool: {http2: {pingTimeout: 0s}}`},
		accept:  []string{`connectionPool: {http2: {maxConcurrentStreams: 100, pingInterval: 0s, pingTimeout: 10s}}`},
	}}
}
