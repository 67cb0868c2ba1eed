package apivalidation

func breakerRules() []rule {
	return []rule{{
		message: "circuitBreaker needs a trigger: set consecutiveFailures, errorRate or slowCalls (or mode: Disabled)",
		refuse:  []string{`circuitBreaker: {}`, `circuitBreaker: {mode: Enabled, open: {duration: 10s}}`},
		accept: []string{
			`circuitBreaker: {consecutiveFailures: 5}`,
			`circuitBreaker: {errorRate: {percent: 50, minimumRequests: 20, window: 10s}}`,
			`circuitBreaker: {slowCalls: {threshold: 2s}}`,
			`circuitBreaker: {mode: Disabled}`,
		},
	}, {
		message: "maxEjectedPercent needs scope: Endpoint",
		refuse: []string{
			`circuitBreaker: {consecutiveFailures: 5, maxEjectedPercent: 50}`,
			`circuitBreaker: {consecutiveFailures: 5, scope: Destination, maxEjectedPercent: 50}`,
		},
		accept: []string{`circuitBreaker: {consecutiveFailures: 5, scope: Endpoint, maxEjectedPercent: 50, sharing: Cluster}`},
	}, {
		message: "slowCalls.threshold must be longer than 0s",
		refuse:  []string{`circuitBreaker: {slowCalls: {threshold: 0s}}`},
		accept:  []string{`circuitBreaker: {slowCalls: {threshold: 1ms, percent: 80, minimumRequests: 20, window: 10s}}`},
	}, {
		message: "open.duration must be longer than 0s",
		refuse:  []string{`circuitBreaker: {consecutiveFailures: 5, open: {duration: 0s}}`},
		accept:  []string{`circuitBreaker: {consecutiveFailures: 5, open: {duration: 1ms}}`},
	}, {
		message: "open.maxDuration must not be shorter than open.duration",
		refuse:  []string{`circuitBreaker: {consecutiveFailures: 5, open: {duration: 10s, maxDuration: 5s}}`},
		accept:  []string{`circuitBreaker: {consecutiveFailures: 5, open: {duration: 10s, maxDuration: 10s, jitterPercent: 20}, halfOpen: {probes: 1, successesToClose: 1}}`},
	}}
}

func limitRules() []rule {
	return []rule{{
		message: "rateLimit needs requests, such as requests: 100 (or mode: Disabled)",
		refuse:  []string{`rateLimit: {}`, `rateLimit: {per: 1s, burst: 10}`},
		accept:  []string{`rateLimit: {requests: 100}`, `rateLimit: {mode: Disabled}`},
	}, {
		message: "rateLimit.per must be from 10ms to 24h",
		refuse:  []string{`rateLimit: {requests: 100, per: 0s}`, `rateLimit: {requests: 100, per: 25h}`},
		accept:  []string{`rateLimit: {requests: 100, per: 10ms}`, `rateLimit: {requests: 100, per: 24h}`},
	}, {
		message: "onLimit: Queue needs a maxWait longer than 0s, and maxWait needs onLimit: Queue",
		refuse: []string{
			`rateLimit: {requests: 100, onLimit: Queue}`,
			`rateLimit: {requests: 100, onLimit: Queue, maxWait: 0s}`,
			`rateLimit: {requests: 100, maxWait: 1s}`,
			`rateLimit: {requests: 100, onLimit: Reject, maxWait: 1s}`,
		},
		accept: []string{
			`rateLimit: {requests: 100, per: 1s, burst: 100, scope: Cluster, onLimit: Queue, maxWait: 1s}`,
			`rateLimit: {requests: 100, onLimit: Reject, maxWait: 0s}`,
		},
	}, {
		message: "concurrency needs exactly one of max and adaptive (or mode: Disabled)",
		refuse:  []string{`concurrency: {}`, `concurrency: {max: 50, adaptive: {min: 4, max: 1000}}`, `concurrency: {scope: Node}`},
		accept:  []string{`concurrency: {max: 50, scope: Node}`, `concurrency: {adaptive: {}}`, `concurrency: {mode: Disabled}`},
	}, {
		message: "maxQueued above 0 needs a maxWait longer than 0s, and maxWait needs maxQueued",
		refuse: []string{
			`concurrency: {max: 50, maxQueued: 10}`,
			`concurrency: {max: 50, maxQueued: 10, maxWait: 0s}`,
			`concurrency: {max: 50, maxWait: 1s}`,
		},
		accept: []string{`concurrency: {max: 50, maxQueued: 10, maxWait: 1s}`, `concurrency: {max: 50, maxQueued: 0, maxWait: 0s}`},
	}, {
		message: "adaptive.min must not be above adaptive.max",
		refuse:  []string{`concurrency: {adaptive: {min: 5, max: 4}}`},
		accept:  []string{`concurrency: {adaptive: {min: 4, max: 4}}`},
	}}
}

func fallbackRules() []rule {
	return []rule{{
		message: "fallback needs exactly one of response and destination (or mode: Disabled and neither)",
		refuse: []string{
			`fallback: {}`,
			`fallback: {when: [CircuitOpen]}`,
			`fallback: {response: {statusCode: 200}, destination: {host: backup.example}}`,
			`fallback: {mode: Disabled, response: {statusCode: 200}}`,
		},
		accept: []string{
			`fallback: {when: [CircuitOpen, RetriesExhausted, RateLimited], response: {statusCode: 200, headers: [{name: Content-Type, value: application/json}], body: "{}"}}`,
			`fallback: {destination: {host: backup.example, port: 8443}}`,
			`fallback: {destination: {service: {name: backup}}}`,
			`fallback: {mode: Disabled}`,
		},
	}, {
		message: "fallback.destination needs exactly one of service and host",
		refuse:  []string{`fallback: {destination: {}}`, `fallback: {destination: {host: backup.example, service: {name: backup}}}`},
		accept:  []string{`fallback: {destination: {service: {name: backup, namespace: other, port: http}}}`},
	}, {
		message: "port belongs to host: for a service write service.port",
		refuse:  []string{`fallback: {destination: {service: {name: backup}, port: 80}}`},
		accept:  []string{`fallback: {destination: {service: {name: backup, port: 80}}}`},
	}, {
		message: "fallback.destination is one host: write it without a wildcard",
		refuse:  []string{`fallback: {destination: {host: "*.backup.example"}}`},
		accept:  []string{`fallback: {destination: {host: eu.backup.example}}`},
	}, {
		message: "this header field belongs to the connection and is written by fairlead: remove it",
		refuse: []string{
			`fallback: {response: {statusCode: 200, headers: [{name: content-length, value: "3"}]}}`,
			`fallback: {response: {statusCode: 200, headers: [{name: Transfer-Encoding, value: chunked}]}}`,
		},
		accept: []string{`fallback: {response: {statusCode: 200, headers: [{name: Retry-After, value: "3"}]}}`},
	}, {
		message: "a header field's value is one line without control characters",
		refuse: []string{
			`fallback: {response: {statusCode: 200, headers: [{name: A, value: "b\r\nC: d"}]}}`,
			`fallback: {response: {statusCode: 200, headers: [{name: A, value: "b\0"}]}}`,
		},
		accept: []string{`fallback: {response: {statusCode: 200, headers: [{name: A, value: "b\tc"}]}}`},
	}, {
		message: "fallback.destination must not be a destination of the same policy: name another host or service, or remove it from to",
		refuse: []string{
			`{to: [{any: {}}, {host: a.example}], fallback: {destination: {host: a.example}}}`,
			`{to: [{service: {name: a}}], fallback: {destination: {service: {name: a}}}}`,
			`{to: [{service: {name: a, namespace: ns, port: 80}}], fallback: {destination: {service: {name: a, namespace: ns}}}}`,
		},
		accept: []string{
			`{to: [{host: a.example}], fallback: {destination: {host: b.example}}}`,
			`{to: [{host: "*.example"}], fallback: {destination: {host: b.example}}}`,
			`{to: [{service: {name: a}}], fallback: {destination: {service: {name: b}}}}`,
			`{to: [{service: {name: a, namespace: ns}}], fallback: {destination: {service: {name: a, namespace: m}}}}`,
			`{to: [{service: {name: a}}], fallback: {destination: {service: {name: a, namespace: m}}}}`,
		},
	}, {
		message: "a rule's fallback.destination must not be a destination of the same policy: name another host or service, or remove it from to",
		refuse: []string{
			`{to: [{host: a.example}], rules: [{name: r, match: [{methods: [GET]}], fallback: {destination: {host: a.example}}}]}`,
			`{to: [{service: {name: a, namespace: ns}}], rules: [{name: r, match: [{methods: [GET]}], fallback: {destination: {service: {name: a, namespace: ns}}}}]}`,
		},
		accept: []string{
			`{to: [{host: a.example}], rules: [{name: r, match: [{methods: [GET]}], fallback: {destination: {host: b.example}}}]}`,
			`{to: [{service: {name: a, namespace: ns}}], rules: [{name: r, match: [{methods: [GET]}], fallback: {destination: {service: {name: a}}}}]}`,
		},
	}}
}
