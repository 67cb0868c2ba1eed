package apivalidation

func viaRules() []rule {
	return []rule{{
		message: "set proxy, unless mode is Direct, which goes through none",
		refuse: []string{
			`to: [{host: a.example, via: {}}]`,
			`to: [{host: a.example, via: {mode: Proxy}}]`,
			`to: [{host: a.example, via: {mode: Direct, proxy: "proxy.example.com:3128"}}]`,
		},
		accept: []string{`to: [{host: a.example, via: {mode: Direct}}]`, `to: [{host: a.example, via: {mode: Proxy, proxy: "proxy.example.com:3128"}}]`},
	}, {
		message: "credentialsRef is for a proxy: set proxy too, or remove credentialsRef",
		refuse:  []string{`to: [{host: a.example, via: {mode: Direct, credentialsRef: {name: proxy}}}]`},
		accept:  []string{`to: [{host: a.example, via: {proxy: "proxy.example.com:3128", credentialsRef: {name: proxy}}}]`},
	}, {
		message: "via belongs to a host: write it beside host",
		refuse: []string{
			`to: [{any: {}, via: {proxy: "proxy.example.com:3128"}}]`,
			`to: [{service: {name: a}, via: {proxy: "proxy.example.com:3128"}}]`,
			`to: [{cidr: {block: 10.0.0.0/8}, via: {proxy: "proxy.example.com:3128"}}]`,
		},
		accept: []string{`to: [{host: a.example, via: {proxy: "proxy.example.com:3128"}}]`},
	}, {
		message: "via lets pods reach what the proxy reaches: name the hosts, exactly or by a wildcard such as *.example.com, and not by *",
		refuse:  []string{`to: [{host: "*", via: {proxy: "proxy.example.com:3128"}}]`},
		accept:  []string{`to: [{host: "*.example.com", via: {proxy: "proxy.example.com:3128"}}]`},
	}, {
		message: "write the proxy's name in lower case, or its address, and its port, such as proxy.example.com:3128, without a scheme",
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
