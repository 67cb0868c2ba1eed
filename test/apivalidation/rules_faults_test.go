package apivalidation

func faultRules() []rule {
	return []rule{{
		message: "faults needs until, the time at which it ends by itself, such as until: '2026-11-27T10:00:00Z' (or mode: Disabled)",
		refuse: []string{
			`faults: {percent: 10, abort: {type: Reset}}`,
			`faults: {mode: Enabled, percent: 10, abort: {type: Reset}}`,
		},
		accept: []string{
			`faults: {until: "2026-11-27T10:00:00Z", percent: 10, abort: {type: Reset}}`,
			`faults: {mode: Enabled, until: "2026-11-27T10:00:00+01:00", percent: 10, abort: {type: Reset}}`,
			`faults: {mode: Disabled}`,
		},
	}, {
		message: "faults needs percent, the share of attempts that meet a fault, such as percent: 10 (or mode: Disabled)",
		refuse:  []string{`faults: {until: "2026-11-27T10:00:00Z", abort: {type: Reset}}`},
		accept:  []string{`faults: {until: "2026-11-27T10:00:00Z", percent: 100, abort: {type: Reset}}`, `faults: {mode: Disabled}`},
	}, {
		message: "faults needs delay or abort, or both (or mode: Disabled)",
		refuse:  []string{`faults: {until: "2026-11-27T10:00:00Z", percent: 10}`},
		accept: []string{
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, delay: {duration: 2s}}`,
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, delay: {duration: 2s, jitterPercent: 100}, abort: {type: Response}}`,
			`faults: {mode: Disabled}`,
		},
	}, {
		message: "mode: Disabled stands alone: remove until, percent, delay and abort, or remove mode",
		refuse: []string{
			`faults: {mode: Disabled, percent: 1}`,
			`faults: {mode: Disabled, until: "2026-11-27T10:00:00Z", percent: 1, abort: {type: Reset}}`,
		},
		accept: []string{`faults: {mode: Disabled}`},
	}, {
		message: "write a time with a date and a zone (RFC 3339), such as 2026-11-27T10:00:00Z",
		refuse: []string{
			`faults: {until: tomorrow, percent: 1, abort: {type: Reset}}`,
			`faults: {until: "2026-11-27T10:00:00", percent: 1, abort: {type: Reset}}`,
			`faults: {until: "2026-11-27 10:00:00Z", percent: 1, abort: {type: Reset}}`,
			`faults: {until: 1h, percent: 1, abort: {type: Reset}}`,
		},
		accept: []string{
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, abort: {type: Reset}}`,
			`faults: {until: "2026-11-27T10:00:00.5-08:00", percent: 1, abort: {type: Reset}}`,
		},
	}, {
		message: "delay.duration must be from 1ms to 5m",
		refuse: []string{
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, delay: {duration: 0s}}`,
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, delay: {duration: 5m1ms}}`,
		},
		accept: []string{
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, delay: {duration: 1ms}}`,
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, delay: {duration: 5m}}`,
		},
	}, {
		message: "statusCode and grpcStatus belong to type: Response: remove them, or write type: Response",
		refuse: []string{
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, abort: {type: Reset, statusCode: 503}}`,
			`faults: {until: "2026-11-27T10:00:00Z", percent: 1, abort: {type: Reset, grpcStatus: ABORTED}}`,
		},
		accept: []string{`faults: {until: "2026-11-27T10:00:00Z", percent: 1, abort: {type: Response, statusCode: 503, grpcStatus: ABORTED}}`},
	}, {
		message: "faults in a ClusterRetryPolicy may only be switched off: write faults: {mode: Disabled} here, and what is injected in a RetryPolicy",
		refuse: []string{
			`overrides: {faults: {until: "2026-11-27T10:00:00Z", percent: 10, abort: {type: Reset}}}`,
			`defaults: {faults: {until: "2026-11-27T10:00:00Z", percent: 10, abort: {type: Reset}}}`,
			`defaults: {rules: [{name: r, match: [{methods: [GET]}], faults: {until: "2026-11-27T10:00:00Z", percent: 10, abort: {type: Reset}}}]}`,
		},
		accept: []string{
			`overrides: {faults: {mode: Disabled}}`,
			`defaults: {faults: {mode: Disabled}}`,
			`overrides: {rules: [{name: r, match: [{methods: [GET]}], faults: {mode: Disabled}}]}`,
		},
	}}
}
