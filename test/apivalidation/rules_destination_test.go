package apivalidation

func destinationRules() []rule {
	return []rule{{
		message: "set exactly one of service, host, cidr and any in each entry of to",
		refuse: []string{
			`to: [{}]`,
			`to: [{protocol: HTTP}]`,
			`to: [{host: a.example, any: {}}]`,
			`to: [{service: {name: a}, cidr: {block: 10.0.0.0/8}}]`,
		},
		accept: []string{
			`to: [{service: {name: inventory, namespace: warehouse, port: 80}}]`,
			`to: [{host: api.payments.example}]`,
			`to: [{cidr: {block: 203.0.113.0/24}}]`,
			`to: [{any: {}}]`,
		},
	}, {
		message: "ports belongs to host or any: for a service write service.port, for a cidr write cidr.ports",
		refuse: []string{
			`to: [{service: {name: a}, ports: [80]}]`,
			`to: [{cidr: {block: 10.0.0.0/8}, ports: [80]}]`,
		},
		accept: []string{`to: [{host: a.example, ports: [443, 8443]}]`, `to: [{any: {}, ports: [80]}]`},
	}, {
		message: "for a cidr write the protocol inside it: cidr: {block: ..., protocol: ...}",
		refuse:  []string{`to: [{cidr: {block: 10.0.0.0/8}, protocol: TCP}]`},
		accept:  []string{`to: [{cidr: {block: 10.0.0.0/8, protocol: TCP, ports: [5432]}}]`},
	}, {
		message: "a host cannot be distinguished from raw TCP: use protocol TLS, HTTP, HTTP2 or GRPC, or name the addresses with cidr",
		refuse:  []string{`to: [{host: db.example, protocol: TCP}]`, `to: [{host: "*", protocol: TCP}]`},
		accept: []string{
			`to: [{host: db.example, protocol: TLS}]`,
			`to: [{host: db.example, protocol: Auto}]`,
			`to: [{service: {name: db}, protocol: TCP}]`,
		},
	}, {
		message: "tls belongs to a host: write it beside host",
		refuse:  []string{`to: [{any: {}, tls: {mode: Passthrough}}]`, `to: [{service: {name: a}, tls: {}}]`},
		accept:  []string{`to: [{host: a.example, tls: {mode: Passthrough}}]`},
	}, {
		message: "tls.mode Originate needs protocol HTTP, HTTP2 or GRPC, and Intercept these or Auto",
		refuse: []string{
			`to: [{host: a.example, tls: {mode: Originate, caBundleRef: {kind: System}}}]`,
			`to: [{host: a.example, protocol: Auto, tls: {mode: Originate, caBundleRef: {kind: System}}}]`,
			`to: [{host: a.example, protocol: TLS, tls: {mode: Intercept, caBundleRef: {kind: System}}}]`,
		},
		accept: []string{
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System}}}]`,
			`to: [{host: a.example, protocol: GRPC, tls: {mode: Intercept, caBundleRef: {name: partner-ca}}}]`,
			`to: [{host: a.example, protocol: Auto, tls: {mode: Intercept, caBundleRef: {kind: System}}}]`,
			`to: [{host: a.example, tls: {mode: Intercept, caBundleRef: {kind: System}}}]`,
			`to: [{host: a.example, protocol: TLS, tls: {}}]`,
		},
	}, {
		message: "a wildcard stands for the whole left-most label: write *.example.com, or * for every host",
		refuse: []string{
			`to: [{host: "api-*.example.com"}]`,
			`to: [{host: "api.*.com"}]`,
			`to: [{host: "*.*.com"}]`,
			`to: [{host: "*example.com"}]`,
		},
		accept: []string{`to: [{host: "*.example.com"}]`, `to: [{host: "*"}]`},
	}, {
		message: "an address is not a host: write it as cidr, such as cidr: {block: 203.0.113.7/32}",
		refuse:  []string{`to: [{host: 203.0.113.7}]`, `to: [{host: "2001:db8::7"}]`},
		accept:  []string{`to: [{cidr: {block: 203.0.113.7/32}}]`, `to: [{cidr: {block: "2001:db8::7/128"}}]`},
	}, {
		message: "write a lower-case DNS name such as api.example.com, without scheme, port, path or trailing dot",
		refuse: []string{
			`to: [{host: API.example.com}]`,
			`to: [{host: "https://api.example.com"}]`,
			`to: [{host: "api.example.com:443"}]`,
			`to: [{host: api.example.com/v1}]`,
			`to: [{host: api.example.com.}]`,
			`to: [{host: api..example.com}]`,
			`to: [{host: -api.example.com}]`,
			`to: [{host: "*."}]`,
		},
		accept: []string{`to: [{host: xn--bcher-kva.example}]`, `to: [{host: localhost}]`, `to: [{host: 1.api.example}]`},
	}, {
		message: "write the Service's name in lower case, and its namespace apart: {name: inventory, namespace: shop}",
		refuse: []string{
			`to: [{service: {name: inventory.shop.svc}}]`,
			`to: [{service: {name: shop/inventory}}]`,
			`to: [{service: {name: Inventory}}]`,
			`fallback: {destination: {service: {name: backup.shop}}}`,
		},
		accept: []string{`to: [{service: {name: inventory, namespace: shop}}]`, `to: [{service: {name: 2-inventory}}]`},
	}, {
		message: "write the name of a namespace, in lower case, such as shop",
		refuse:  []string{`to: [{service: {name: inventory, namespace: shop.svc}}]`, `to: [{service: {name: inventory, namespace: Shop}}]`},
		accept:  []string{`to: [{service: {name: inventory, namespace: shop-2}}]`},
	}, {
		message: "write a port number from 1 to 65535, or the name of one of the Service's ports",
		refuse:  []string{`to: [{service: {name: a, port: 0}}]`, `to: [{service: {name: a, port: 65536}}]`, `to: [{service: {name: a, port: HTTP}}]`},
		accept:  []string{`to: [{service: {name: a, port: 65535}}]`, `to: [{service: {name: a, port: http}}]`},
	}, {
		message: "write a port number without quotes; a port's name has at least one letter",
		refuse:  []string{`to: [{service: {name: a, port: "80"}}]`},
		accept:  []string{`to: [{service: {name: a, port: http2}}]`, `to: [{service: {name: a, port: 80}}]`},
	}, {
		message: "block must be a range of addresses such as 203.0.113.0/24 or 2001:db8::/32; a single address is 203.0.113.7/32",
		refuse: []string{
			`to: [{cidr: {block: 203.0.113.7}}]`,
			`to: [{cidr: {block: 203.0.113.0/33}}]`,
			`to: [{cidr: {block: example.com/24}}]`,
		},
		accept: []string{`to: [{cidr: {block: 0.0.0.0/0}}]`, `to: [{cidr: {block: "2001:db8::/32"}}]`},
	}, {
		message: "write the first address of the range in block (as 203.0.113.0/24, not 203.0.113.5/24)",
		refuse:  []string{`to: [{cidr: {block: 203.0.113.5/24}}]`, `to: [{cidr: {block: "2001:db8::1/32"}}]`},
		accept:  []string{`to: [{cidr: {block: 203.0.113.5/32}}]`},
	}, {
		message: "each entry of except must be a range of addresses such as 203.0.113.7/32",
		refuse:  []string{`to: [{cidr: {block: 203.0.113.0/24, except: [203.0.113.7]}}]`},
		accept:  []string{`to: [{cidr: {block: 203.0.113.0/24, except: [203.0.113.7/32, 203.0.113.64/26]}}]`},
	}, {
		message: "each entry of except must lie inside block",
		refuse: []string{
			`to: [{cidr: {block: 203.0.113.0/24, except: [203.0.112.7/32]}}]`,
			`to: [{cidr: {block: 203.0.113.0/24, except: [203.0.112.0/23]}}]`,
			`to: [{cidr: {block: 203.0.113.0/24, except: ["2001:db8::/64"]}}]`,
		},
		accept: []string{`to: [{cidr: {block: "2001:db8::/32", except: ["2001:db8:1::/48"]}}]`},
	}, {
		message: "mode Originate and Intercept need caBundleRef to verify the host: name a ConfigMap, Secret or ClusterTrustBundle, or write {kind: System} for the public roots",
		refuse: []string{
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate}}]`,
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Intercept, sni: b.example}}]`,
		},
		accept: []string{`to: [{host: a.example, protocol: HTTP2, tls: {mode: Originate, sni: b.example,
			caBundleRef: {kind: Secret, name: ca, key: tls.crt}, clientCertificateRef: {name: client}}}]`},
	}, {
		message: "sni, caBundleRef and clientCertificateRef need mode Originate or Intercept: nothing is verified or presented in Passthrough",
		refuse: []string{
			`to: [{host: a.example, tls: {sni: b.example}}]`,
			`to: [{host: a.example, tls: {mode: Passthrough, caBundleRef: {name: ca}}}]`,
			`to: [{host: a.example, tls: {clientCertificateRef: {name: client}}}]`,
		},
		accept: []string{`to: [{host: a.example, tls: {}}]`},
	}, {
		message: "sni is one server name: write it without a wildcard, or leave it out to use the host that was called",
		refuse:  []string{`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, sni: "*.example", caBundleRef: {name: ca}}}]`},
		accept:  []string{`to: [{host: "*.example", protocol: HTTP, tls: {mode: Originate, caBundleRef: {name: ca}}}]`},
	}, {
		message: "set name, unless kind is System (the public roots), which has none",
		refuse: []string{
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {}}}]`,
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: Secret}}}]`,
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System, name: ca}}}]`,
		},
		accept: []string{`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: ConfigMap, name: ca}}}]`},
	}, {
		message: "key is an entry of a ConfigMap or Secret: set name too, or remove key",
		refuse: []string{
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: System, key: ca.crt}}}]`,
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: ClusterTrustBundle, name: ca, key: ca.crt}}}]`,
		},
		accept: []string{`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {name: ca, key: ca.crt}}}]`},
	}, {
		message: "only the name of a ClusterTrustBundle has colons: set kind: ClusterTrustBundle, or correct the name",
		refuse: []string{
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {name: "example.com:partner:v1"}}}]`,
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: Secret, name: "a:b"}}}]`,
		},
		accept: []string{
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, caBundleRef: {kind: ClusterTrustBundle, name: "example.com:partner:v1"}}}]`,
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Intercept, caBundleRef: {kind: ClusterTrustBundle, name: partner-roots}}}]`,
		},
	}, {
		message: "port needs mode Originate: otherwise the port that the pod called is connected to",
		refuse: []string{
			`to: [{host: a.example, tls: {port: 443}}]`,
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Intercept, port: 443, caBundleRef: {kind: System}}}]`,
		},
		accept: []string{`to: [{host: a.example, ports: [80], protocol: HTTP, tls: {mode: Originate, port: 443, caBundleRef: {kind: System}}}]`},
	}, {
		message: "passthroughAfter needs mode Intercept: only there must pods trust the egress CA",
		refuse: []string{
			`to: [{host: a.example, tls: {passthroughAfter: 3}}]`,
			`to: [{host: a.example, protocol: HTTP, tls: {mode: Originate, passthroughAfter: 3, caBundleRef: {kind: System}}}]`,
		},
		accept: []string{`to: [{host: a.example, protocol: HTTP, tls: {mode: Intercept, passthroughAfter: 3, caBundleRef: {kind: System}}}]`},
	}}
}
