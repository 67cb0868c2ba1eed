package apivalidation

func policyRules() []rule {
	return []rule{{
		message: "set exactly one of defaults (namespaces may change them) and overrides (they may not)",
		refuse: []string{
			`{namespaceSelector: {}}`,
			`{defaults: {failurePolicy: Open}, overrides: {failurePolicy: Open}}`,
		},
		accept: []string{
			`{defaults: {failurePolicy: Open}}`,
			`{overrides: {failurePolicy: Open}}`,
		},
	}, {
		message: "write at most 16 matchLabels and 16 matchExpressions",
		refuse: []string{
			`podSelector: {matchLabels: {a1: x, a2: x, a3: x, a4: x, a5: x, a6: x, a7: x, a8: x, a9: x,
				b1: x, b2: x, b3: x, b4: x, b5: x, b6: x, b7: x, b8: x}}`,
			`namespaceSelector: {matchLabels: {a1: x, a2: x, a3: x, a4: x, a5: x, a6: x, a7: x, a8: x, a9: x,
				b1: x, b2: x, b3: x, b4: x, b5: x, b6: x, b7: x, b8: x}}
defaults: {}`,
		},
		accept: []string{
			`podSelector: {matchLabels: {app: checkout}, matchExpressions: [{key: tier, operator: Exists}]}`,
			`podSelector: {}`,
			`{namespaceSelector: {matchLabels: {team: shop}}, defaults: {}}`,
		},
	}, {
		message: "operator must be In, NotIn, Exists or DoesNotExist",
		refuse:  []string{`podSelector: {matchExpressions: [{key: tier, operator: exists}]}`},
		accept:  []string{`podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [batch]}]}`},
	}, {
		message: "operators In and NotIn need values; Exists and DoesNotExist take none",
		refuse: []string{
			`podSelector: {matchExpressions: [{key: tier, operator: In}]}`,
			`podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist, values: [batch]}]}`,
			`{namespaceSelector: {matchExpressions: [{key: tier, operator: In, values: []}]}, overrides: {}}`,
		},
		accept: []string{
			`podSelector: {matchExpressions: [{key: tier, operator: In, values: [web]}]}`,
			`podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}`,
		},
	}, {
		message: "rollout.observe must be from 10s to 24h",
		refuse:  []string{`rollout: {percent: 10, observe: 5s}`, `rollout: {percent: 10, observe: 25h}`},
		accept: []string{
			`rollout: {percent: 10}`,
			`rollout: {percent: 10, observe: 10s, abortOn: {successRateDropPercent: 2}}`,
			`rollout: {percent: 100, observe: 24h}`,
		},
	}, {
		message: "a rule is merged over timeouts, and there perTry must not be longer than overall: set both perTry and overall in the rule",
		refuse: []string{
			`{timeouts: {overall: 1s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {perTry: 2s}}]}`,
			`{timeouts: {perTry: 2s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {overall: 1s}}]}`,
		},
		accept: []string{
			`{timeouts: {overall: 1s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {perTry: 2s, overall: 4s}}]}`,
			`{timeouts: {overall: 1s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {perTry: 1s}}]}`,
			`{timeouts: {overall: 0s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {perTry: 2s}}]}`,
			`{timeouts: {perTry: 2s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {overall: 0s}}]}`,
			`{timeouts: {perTry: 2s}, rules: [{name: r, match: [{methods: [GET]}], timeouts: {idle: 1s}}]}`,
		},
	}, {
		message: "retry.hedging.delay must be shorter than timeouts.overall, or no hedge can ever start",
		refuse: []string{
			`{timeouts: {overall: 1s}, retry: {hedging: {delay: 1s}}}`,
			`{timeouts: {overall: 1s}, retry: {hedging: {delay: 1m}}}`,
		},
		accept: []string{
			`{timeouts: {overall: 1s}, retry: {hedging: {delay: 100ms}}}`,
			`{timeouts: {overall: 0s}, retry: {hedging: {delay: 1m}}}`,
			`{timeouts: {perTry: 1s}, retry: {hedging: {delay: 1m}}}`,
		},
	}}
}

func matchRules() []rule {
	return []rule{{
		message: "a rule must change something: set at least one of timeouts, retry, circuitBreaker, rateLimit, concurrency, fallback and faults",
		refuse:  []string{`rules: [{name: r, match: [{methods: [GET]}]}]`},
		accept: []string{
			`rules: [{name: r, match: [{methods: [GET]}], timeouts: {perTry: 1s}}]`,
			`rules: [{name: r, match: [{methods: [GET]}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{methods: [GET]}], circuitBreaker: {mode: Disabled}}]`,
			`rules: [{name: r, match: [{methods: [GET]}], rateLimit: {requests: 1}}]`,
			`rules: [{name: r, match: [{methods: [GET]}], concurrency: {max: 1}}]`,
			`rules: [{name: r, match: [{methods: [GET]}], fallback: {response: {statusCode: 204}}}]`,
			`rules: [{name: r, match: [{methods: [GET]}], faults: {mode: Disabled}}]`,
			`rules: []`,
		},
	}, {
		message: "write a rule's name in lower-case letters, digits and dashes, such as slow-reports",
		refuse:  []string{`rules: [{name: Slow reports, match: [{methods: [GET]}], retry: {maxRetries: 0}}]`},
		accept:  []string{`rules: [{name: slow-reports, match: [{methods: [GET]}], retry: {maxRetries: 0}}]`},
	}, {
		message: "a match must not be empty: set methods, path, grpc, host or headers",
		refuse:  []string{`rules: [{name: r, match: [{}], retry: {maxRetries: 0}}]`},
		accept: []string{
			`rules: [{name: r, match: [{methods: [POST], path: {value: /v1/charges}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{path: {type: Exact, value: /}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{grpc: {service: shop.v1.Inventory}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{host: "*.example.com"}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{headers: [{name: X-Tier}]}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{grpc: {method: Reserve}, host: a.example, headers: [{name: x-tier, value: gold}]}], retry: {maxRetries: 0}}]`,
		},
	}, {
		message: "grpc stands alone: it already says method and path; move methods and path to an entry of their own",
		refuse: []string{
			`rules: [{name: r, match: [{grpc: {method: Reserve}, methods: [POST]}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{grpc: {method: Reserve}, path: {value: /}}], retry: {maxRetries: 0}}]`,
		},
		accept: []string{`rules: [{name: r, match: [{grpc: {method: Reserve}}, {methods: [POST]}], retry: {maxRetries: 0}}]`},
	}, {
		message: "write an HTTP method in upper case, such as GET or POST",
		refuse: []string{
			`rules: [{name: r, match: [{methods: [get]}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{methods: ["GET,POST"]}], retry: {maxRetries: 0}}]`,
		},
		accept: []string{`rules: [{name: r, match: [{methods: [GET, PROPFIND, M-SEARCH]}], retry: {maxRetries: 0}}]`},
	}, {
		message: "a path starts with a slash: write /v1/charges",
		refuse:  []string{`rules: [{name: r, match: [{path: {value: v1/charges}}], retry: {maxRetries: 0}}]`},
		accept: []string{
			`rules: [{name: r, match: [{path: {type: Prefix, value: /v1/charges}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{path: {type: RegularExpression, value: "(/v1|/v2)/charges"}}], retry: {maxRetries: 0}}]`,
		},
	}, {
		message: "a path is compared without query and fragment: leave out everything from ? or # on",
		refuse: []string{
			`rules: [{name: r, match: [{path: {value: "/v1?a=b"}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{path: {value: "/v1#a"}}], retry: {maxRetries: 0}}]`,
		},
		accept: []string{
			`rules: [{name: r, match: [{path: {value: "/v1/a%20b;c=d"}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{path: {type: RegularExpression, value: "/v1(/[a-z]+)?"}}], retry: {maxRetries: 0}}]`,
		},
	}, {
		message: "grpc must not be empty: set service, such as shop.v1.Inventory, or method, or both",
		refuse:  []string{`rules: [{name: r, match: [{grpc: {}}], retry: {maxRetries: 0}}]`},
		accept:  []string{`rules: [{name: r, match: [{grpc: {service: Inventory, method: Reserve}}], retry: {maxRetries: 0}}]`},
	}, {
		message: "write the full name of the gRPC service without slashes, such as shop.v1.Inventory",
		refuse: []string{
			`rules: [{name: r, match: [{grpc: {service: /shop.v1.Inventory/}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{grpc: {service: shop..Inventory}}], retry: {maxRetries: 0}}]`,
		},
		accept: []string{`rules: [{name: r, match: [{grpc: {service: shop.v1.Inventory_2}}], retry: {maxRetries: 0}}]`},
	}, {
		message: "write the name of the gRPC method without slashes or dots, such as Reserve",
		refuse:  []string{`rules: [{name: r, match: [{grpc: {method: Inventory/Reserve}}], retry: {maxRetries: 0}}]`},
		accept:  []string{`rules: [{name: r, match: [{grpc: {method: Reserve_2}}], retry: {maxRetries: 0}}]`},
	}}
}

// headRules are about matches by host, by header fields and by regular expressions.
func headRules() []rule {
	return []rule{{
		message: "leave host out to mean every host",
		refuse:  []string{`rules: [{name: r, match: [{host: "*", methods: [GET]}], retry: {maxRetries: 0}}]`},
		accept:  []string{`rules: [{name: r, match: [{host: api.example, methods: [GET]}], retry: {maxRetries: 0}}]`},
	}, {
		message: "to match the host write it as host, beside headers",
		refuse:  []string{`rules: [{name: r, match: [{headers: [{name: Host, value: a.example}]}], retry: {maxRetries: 0}}]`},
		accept:  []string{`rules: [{name: r, match: [{headers: [{name: X-Forwarded-Host, value: a.example}]}], retry: {maxRetries: 0}}]`},
	}, {
		message: "this header field belongs to the connection, not to the request: match another one",
		refuse:  []string{`rules: [{name: r, match: [{headers: [{name: Connection, value: close}]}], retry: {maxRetries: 0}}]`},
		accept:  []string{`rules: [{name: r, match: [{headers: [{name: Accept, type: Prefix, value: text/event-stream}]}], retry: {maxRetries: 0}}]`},
	}, {
		message: "type says how value is compared: write value, or leave out type for any value",
		refuse:  []string{`rules: [{name: r, match: [{headers: [{name: x-tier, type: Prefix}]}], retry: {maxRetries: 0}}]`},
		accept: []string{
			`rules: [{name: r, match: [{headers: [{name: x-tier, type: Exact, value: gold}]}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{headers: [{name: x-tier}]}], retry: {maxRetries: 0}}]`,
		},
	}, {
		message: "write a regular expression in the syntax of RE2, such as /v1/users/[0-9]+",
		refuse: []string{
			`rules: [{name: r, match: [{path: {type: RegularExpression, value: "/v1/("}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{path: {type: RegularExpression, value: "/v1/(?!users)"}}], retry: {maxRetries: 0}}]`,
		},
		accept: []string{
			`rules: [{name: r, match: [{path: {type: RegularExpression, value: "/v1/users/[0-9]+"}}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{path: {type: Exact, value: "/v1/("}}], retry: {maxRetries: 0}}]`,
		},
	}, {
		message: "write a regular expression in the syntax of RE2, such as gold|silver",
		refuse:  []string{`rules: [{name: r, match: [{headers: [{name: x-tier, type: RegularExpression, value: "gold)"}]}], retry: {maxRetries: 0}}]`},
		accept: []string{
			`rules: [{name: r, match: [{headers: [{name: x-tier, type: RegularExpression, value: "gold|silver"}]}], retry: {maxRetries: 0}}]`,
			`rules: [{name: r, match: [{headers: [{name: x-tier, value: "gold)"}]}], retry: {maxRetries: 0}}]`,
		},
	}}
}
