package apivalidation

func retryRules() []rule {
	return []rule{{
		message: "maxRetries: 0 also forbids hedging: raise maxRetries or remove hedging",
		refuse:  []string{`retry: {maxRetries: 0, hedging: {delay: 200ms}}`, `retry: {maxRetries: 0, hedging: {percentile: 95, maxHedges: 1}}`},
		accept: []string{
			`retry: {maxRetries: 1, hedging: {delay: 200ms}}`,
			`retry: {maxRetries: 0, hedging: {maxHedges: 0}}`,
			`retry: {hedging: {percentile: 95}}`,
		},
	}, {
		message: "hedging needs exactly one of delay and percentile (or maxHedges: 0 for none)",
		refuse:  []string{`retry: {hedging: {}}`, `retry: {hedging: {delay: 200ms, percentile: 95}}`, `retry: {hedging: {maxHedges: 1}}`},
		accept:  []string{`retry: {hedging: {delay: 200ms, maxHedges: 3}}`, `retry: {hedging: {maxHedges: 0}}`},
	}, {
		message: "hedging.delay must be longer than 0s",
		refuse:  []string{`retry: {hedging: {delay: 0s}}`},
		accept:  []string{`retry: {hedging: {delay: 1ms}}`},
	}, {
		message: "write 4xx, 5xx, one code such as 503, or a range such as 502-504, within 400-599",
		refuse: []string{
			`retry: {statusCodes: ["200"]}`,
			`retry: {statusCodes: ["3xx"]}`,
			`retry: {statusCodes: ["600"]}`,
			`retry: {statusCodes: ["302-404"]}`,
			`retry: {statusCodes: ["50x"]}`,
			`retry: {statusCodes: ["5XX"]}`,
			`retry: {statusCodes: [200]}`,
			`retry: {statusCodes: [600]}`,
			`retry: {statusCodes: [""]}`,
			`retry: {overrides: [{statusCodes: ["2xx"], maxRetries: 0}]}`,
			`circuitBreaker: {consecutiveFailures: 5, failures: {statusCodes: ["200"]}}`,
		},
		accept: []string{
			`retry: {statusCodes: ["4xx", "5xx", "503", "502-504", "400-599"]}`,
			`retry: {statusCodes: []}`,
			`retry: {statusCodes: [503]}`,
			`retry: {statusCodes: ["503"]}`,
			`retry: {statusCodes: ["5xx"]}`,
			`retry: {statusCodes: [429, 502-504, 5xx]}`,
			`retry: {overrides: [{statusCodes: [401, 403], maxRetries: 0}]}`,
			`circuitBreaker: {consecutiveFailures: 5, failures: {statusCodes: [429]}}`,
			`circuitBreaker: {consecutiveFailures: 5, failures: {statusCodes: ["429"]}}`,
		},
	}, {
		message: "write the lower code of a range first, such as 502-504",
		refuse:  []string{`retry: {statusCodes: ["504-502"]}`},
		accept:  []string{`retry: {statusCodes: ["503-503"]}`},
	}, {
		message: "write a header field name such as X-Request-Id, without colon or spaces",
		refuse: []string{
			`retry: {responseHeaders: [{name: "X-Retry:"}]}`,
			`retry: {idempotency: {keyHeader: "Idempotency Key"}}`,
			`fallback: {response: {statusCode: 200, headers: [{name: "a b", value: c}]}}`,
		},
		accept: []string{
			`retry: {responseHeaders: [{name: x-retry, value: "yes"}, {name: X_Retry}]}`,
			`retry: {idempotency: {keyHeader: Idempotency-Key}}`,
		},
	}, {
		message: "an override must say which failures it is for: set when, statusCodes or grpcStatuses",
		refuse:  []string{`retry: {overrides: [{maxRetries: 3}]}`},
		accept: []string{
			`retry: {overrides: [{when: [PerTryTimeout], maxRetries: 3}, {statusCodes: ["401", "403"], maxRetries: 0}, {grpcStatuses: [UNAVAILABLE], maxRetries: 1}]}`,
			`retry: {overrides: []}`,
		},
	}, {
		message: "an override must change something: set maxRetries or backoff",
		refuse:  []string{`retry: {overrides: [{when: [PerTryTimeout]}]}`},
		accept:  []string{`retry: {overrides: [{when: [PerTryTimeout], backoff: {strategy: Fixed, initialInterval: 1s}}]}`},
	}, {
		message: "generateKey needs mode: IdempotentOrKeyed, or the keys would change nothing",
		refuse:  []string{`retry: {idempotency: {generateKey: true}}`, `retry: {idempotency: {generateKey: true, mode: Any}}`},
		accept: []string{
			`retry: {idempotency: {generateKey: true, mode: IdempotentOrKeyed}}`,
			`retry: {idempotency: {generateKey: false, mode: SafeMethods}}`,
		},
	}, {
		message: "write a window from 1s to 10m",
		refuse: []string{
			`retry: {budget: {window: 900ms}}`,
			`retry: {budget: {window: 11m}}`,
			`circuitBreaker: {errorRate: {window: 0s}}`,
			`circuitBreaker: {slowCalls: {threshold: 1s, window: 1h}}`,
		},
		accept: []string{
			`retry: {budget: {percent: 20, minRetriesPerSecond: 10, window: 10s}}`,
			`retry: {budget: {percent: 0, window: 1s}}`,
			`circuitBreaker: {errorRate: {window: 10m}}`,
		},
	}, {
		message: "write a size from 0 to 16Mi, in bytes or with the unit k, Ki, M or Mi, such as 64Ki",
		refuse: []string{
			`retry: {body: {maxBytes: 17Mi}}`,
			`retry: {body: {maxBytes: 16777217}}`,
			`retry: {body: {maxBytes: -1}}`,
			`retry: {body: {maxBytes: 1Gi}}`,
			`retry: {body: {maxBytes: 64KB}}`,
			`retry: {body: {maxBytes: 64KiB}}`,
			`retry: {body: {maxBytes: 1.5Mi}}`,
			`retry: {body: {maxBytes: much}}`,
			`retry: {body: {maxBytes: ""}}`,
		},
		accept: []string{
			`retry: {body: {maxBytes: 64Ki}}`,
			`retry: {body: {maxBytes: 16Mi}}`,
			`retry: {body: {maxBytes: 0}}`,
			`retry: {body: {maxBytes: "0"}}`,
			`retry: {body: {maxBytes: 16777216}}`,
			`retry: {body: {maxBytes: 1M}}`,
		},
	}}
}

func backoffRules() []rule {
	return []rule{{
		message: "initialInterval must be longer than 0s",
		refuse:  []string{`retry: {backoff: {initialInterval: 0ms}}`, `retry: {overrides: [{when: [Reset], backoff: {initialInterval: 0s}}]}`},
		accept:  []string{`retry: {backoff: {initialInterval: 1ms}}`},
	}, {
		message: "maxInterval must be longer than 0s",
		refuse:  []string{`retry: {backoff: {maxInterval: 0s}}`},
		accept:  []string{`retry: {backoff: {maxInterval: 1ms}}`},
	}, {
		message: "initialInterval must not be longer than maxInterval",
		refuse: []string{
			`retry: {backoff: {initialInterval: 1s, maxInterval: 250ms}}`,
			`retry: {overrides: [{when: [Reset], backoff: {initialInterval: 2s, maxInterval: 1s}}]}`,
		},
		accept: []string{`retry: {backoff: {initialInterval: 25ms, maxInterval: 250ms}}`, `retry: {backoff: {initialInterval: 1s, maxInterval: 1000ms}}`},
	}, {
		message: "write a decimal number in quotes, such as '2' or '1.5'",
		refuse: []string{
			`retry: {backoff: {multiplier: two}}`,
			`retry: {backoff: {multiplier: "1,5"}}`,
			`retry: {backoff: {multiplier: ""}}`,
			`timeouts: {adaptive: {min: 1s, max: 5s, deviations: "-1"}}`,
		},
		accept: []string{`retry: {backoff: {multiplier: "2"}}`, `retry: {backoff: {multiplier: '1.125'}}`},
	}, {
		message: "multiplier must be from 1 to 10, such as 2 or 1.5 in quotes",
		refuse:  []string{`retry: {backoff: {multiplier: "0.9"}}`, `retry: {backoff: {multiplier: "10.5"}}`},
		accept:  []string{`retry: {backoff: {multiplier: "1"}}`, `retry: {backoff: {strategy: Exponential, multiplier: "1.5"}}`},
	}, {
		message: "multiplier belongs to strategy Exponential: change strategy or remove multiplier",
		refuse:  []string{`retry: {backoff: {strategy: Fixed, multiplier: "2"}}`, `retry: {backoff: {strategy: Linear, multiplier: "2"}}`},
		accept:  []string{`retry: {backoff: {multiplier: "2"}}`, `retry: {backoff: {strategy: Linear}}`},
	}, {
		message: "jitterPercent is required with jitter Proportional or Additive, and has no meaning with any other",
		refuse: []string{
			`retry: {backoff: {jitter: Proportional}}`,
			`retry: {backoff: {jitter: Additive}}`,
			`retry: {backoff: {jitter: Full, jitterPercent: 20}}`,
			`retry: {backoff: {jitter: Decorrelated, jitterPercent: 20}}`,
			`retry: {backoff: {jitterPercent: 20}}`,
		},
		accept: []string{
			`retry: {backoff: {jitter: Proportional, jitterPercent: 1}}`,
			`retry: {backoff: {jitter: Additive, jitterPercent: 100}}`,
			`retry: {backoff: {jitter: Equal}}`,
			`retry: {backoff: {jitter: None}}`,
		},
	}}
}
