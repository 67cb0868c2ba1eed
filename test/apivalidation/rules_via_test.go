package apivalidation

func viaRules() []rule {
	return []rule{{
		message: "via needs a proxy (or mode: Disabled)",
		refuse:  []string{`to: [{host: a.example, via: {}}]`, `to: [{host: a.example, via: {mode: Enabled}}]`, `to: [{host: a.example, via: {credentialsRef: {name: proxy}}}]`},
		accept: []string{
			`to: [{host: a.example, via: {mode: Disabled}}]`,
			`to: [{host: a.example, via: {proxy: "proxy.example.com:3128", credentialsRef: {name: proxy}}}]`,
		},
	}, {
		message: "via belongs to a host: write it beside host",
		refuse: []string{
			`to: [{any: {}, via: {proxy: "proxy.example.com:3128"}}]`,
			`to: [{service: {name: a}, via: {proxy: "proxy.example.com:3128"}}]`,
			`to: [{cidr: {block: 10.0.0.0/8}, via: {proxy: "proxy.example.com:3128"}}]`,
		},
		accept: []string{`to: [{host: a.example, via: {proxy: "proxy.example.com:3128"}}]`},
	}, {
		message: "via lets pods reach what the proxy reaches: name hosts, or such as *.example.com, not *",
		refuse:  []string{`to: [{host: "*", via: {proxy: "proxy.example.com:3128"}}]`},
		accept:  []string{`to: [{host: "*.example.com", via: {proxy: "proxy.example.com:3128"}}]`},
	}, {
		message: "write name:port or address:port, in lower case, such as proxy.example.com:3128",
		refuse: []string{
			`to: [{host: a.example, via: {proxy: "http://proxy.example.com:3128"}}]`,
			`to: [{host: a.example, via: {proxy: proxy.example.com}}]`,
			`to: [{host: a.example, via: {proxy: "Proxy.example.com:3128"}}]`,
			`to: [{host: a.example, via: {proxy: "proxy.example.com:0"}}]`,
			`to: [{host: a.example, via: {proxy: "2001:db8::1:3128"}}]`,
		},
		accept: []string{
			`to: [{host: a.example, via: {proxy: "proxy:3128"}}]`,
			`to: [{host: a.example, via: {proxy: "192.0.2.1:3128"}}]`,
			`to: [{host: a.example, via: {proxy: "[2001:db8::1]:3128"}}]`,
		},
	}}
}
