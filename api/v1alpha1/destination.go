package v1alpha1

import "k8s.io/apimachinery/pkg/util/intstr"

// Destination names what a call may be made to. Exactly one of service, host,
// cidr and any is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.service), has(self.host), has(self.cidr), has(self.any)].filter(x, x).size() == 1",message="set exactly one of service, host, cidr and any in each entry of to"
// +kubebuilder:validation:XValidation:rule="!has(self.ports) || has(self.host) || has(self.any)",message="ports belongs to host or any: for a service write service.port, for a cidr write cidr.ports"
// +kubebuilder:validation:XValidation:rule="!has(self.protocol) || !has(self.cidr)",message="for a cidr write the protocol inside it: cidr: {block: ..., protocol: ...}"
// +kubebuilder:validation:XValidation:rule="!has(self.host) || !has(self.protocol) || self.protocol != 'TCP'",message="a host cannot be distinguished from raw TCP: use protocol TLS, HTTP, HTTP2 or GRPC, or name the addresses with cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || has(self.host)",message="tls belongs to a host: write it beside host"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || !has(self.tls.mode) || self.tls.mode == 'Passthrough' || (has(self.protocol) && self.protocol != 'Auto' ? self.protocol in ['HTTP', 'HTTP2', 'GRPC'] : self.tls.mode == 'Intercept')",message="tls.mode Originate needs protocol HTTP, HTTP2 or GRPC, and Intercept these or Auto"
// +kubebuilder:validation:XValidation:rule="!has(self.via) || has(self.host)",message="via belongs to a host: write it beside host"
// +kubebuilder:validation:XValidation:rule="!has(self.via) || !has(self.host) || self.host != '*'",message="via lets pods reach what the proxy reaches: name hosts, or such as *.example.com, not *"
type Destination struct {
	// service is a Service of this cluster, however it is called: by its
	// cluster IP, or by its pods' addresses.
	// +optional
	Service *ServiceDestination `json:"service,omitempty"`

	// host is a name outside or inside the cluster, matched against the Host
	// header, the :authority, or the TLS server name of a call. Retries go to
	// another address of the name than the client's, unless the host is "*".
	// +optional
	Host Host `json:"host,omitempty"`

	// cidr is a range of addresses.
	// +optional
	CIDR *CIDRDestination `json:"cidr,omitempty"`

	// any is every destination. Write it as any: {}.
	// +optional
	Any *AnyDestination `json:"any,omitempty"`

	// ports limits a host, or any, to these destination ports. Absent means
	// 80 and 443 for a host, and every port for any.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=65535
	Ports []int32 `json:"ports,omitempty"`

	// protocol is what is spoken to a service, a host, or any. Defaults to
	// Auto. A cidr has its own.
	// HTTP2 and GRPC are without TLS (prior knowledge), or inside that of
	// tls.mode Intercept, where Auto goes by ALPN.
	// +optional
	Protocol Protocol `json:"protocol,omitempty"`

	// tls says what happens to the host's TLS. Absent means Passthrough.
	// +optional
	TLS *DestinationTLS `json:"tls,omitempty"`

	// via is an HTTP proxy through which the host is called (CONNECT), by name.
	// Absent means that of a less specific host, or none.
	// +optional
	Via *Via `json:"via,omitempty"`
}

// Via is an HTTP proxy through which a host is called.
//
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode == 'Disabled') || has(self.proxy)",message="via needs a proxy (or mode: Disabled)"
type Via struct {
	// mode Disabled removes that of a less specific host.
	// +optional
	Mode Switch `json:"mode,omitempty"`

	// proxy is the proxy's absolute name or address and its port, such as
	// proxy.example.com:3128 or [2001:db8::1]:3128.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=259
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-.a-z0-9]*[a-z0-9])?|[[][0-9a-f:.]+[]]):[1-9][0-9]{0,4}$')",message="write name:port or address:port, in lower case, such as proxy.example.com:3128"
	Proxy string `json:"proxy,omitempty"`

	// credentialsRef names a kubernetes.io/basic-auth Secret that the proxy is
	// given, unencrypted. Absent means none.
	// +optional
	CredentialsRef *SecretReference `json:"credentialsRef,omitempty"`
}

// ServiceDestination is a Service of this cluster.
type ServiceDestination struct {
	// name is the Service's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="write the Service's name in lower case, and its namespace apart: {name: inventory, namespace: shop}"
	Name string `json:"name"`

	// namespace is the Service's namespace. Absent means the caller's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="write the name of a namespace, in lower case, such as shop"
	Namespace string `json:"namespace,omitempty"`

	// port is the Service's port, by number or by name. Absent means every
	// port of the Service.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? (int(self) >= 1 && int(self) <= 65535) : self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="write a port number from 1 to 65535, or the name of one of the Service's ports"
	// +kubebuilder:validation:XValidation:rule="type(self) == int || !self.matches('^[0-9][-0-9]*$')",message="write a port number without quotes; a port's name has at least one letter"
	Port *intstr.IntOrString `json:"port,omitempty"`
}

// CIDRDestination is a range of addresses.
//
// +kubebuilder:validation:XValidation:rule="isCIDR(self.block)",fieldPath=".block",message="block must be a range of addresses such as 203.0.113.0/24 or 2001:db8::/32; a single address is 203.0.113.7/32"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self.block) || cidr(self.block) == cidr(self.block).masked()",fieldPath=".block",message="write the first address of the range in block (as 203.0.113.0/24, not 203.0.113.5/24)"
// +kubebuilder:validation:XValidation:rule="!has(self.except) || self.except.all(e, isCIDR(e))",message="each entry of except must be a range of addresses such as 203.0.113.7/32"
// +kubebuilder:validation:XValidation:rule="!has(self.except) || !isCIDR(self.block) || self.except.all(e, !isCIDR(e) || cidr(self.block).containsCIDR(cidr(e)))",message="each entry of except must lie inside block"
type CIDRDestination struct {
	// block is the range, such as 203.0.113.0/24 or 2001:db8::/32.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=43
	Block string `json:"block"`

	// except lists ranges inside block that are not meant.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=43
	Except []string `json:"except,omitempty"`

	// ports limits the range to these destination ports. Absent means every
	// port.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=65535
	Ports []int32 `json:"ports,omitempty"`

	// protocol is what is spoken there. Defaults to Auto.
	// HTTP2 and GRPC are without TLS (prior knowledge).
	// +optional
	Protocol Protocol `json:"protocol,omitempty"`
}

// AnyDestination is every destination.
type AnyDestination struct{}

// Protocol is what is spoken to a destination.
// +kubebuilder:validation:Enum=Auto;HTTP;HTTP2;GRPC;TLS;TCP
type Protocol string

const (
	// ProtocolAuto reads the first bytes of a connection to find out, waiting
	// at most 100 ms for a client that waits for the server.
	ProtocolAuto Protocol = "Auto"
	// ProtocolHTTP is HTTP/1.1 and 1.0.
	ProtocolHTTP Protocol = "HTTP"
	// ProtocolHTTP2 is HTTP/2.
	ProtocolHTTP2 Protocol = "HTTP2"
	// ProtocolGRPC is gRPC over HTTP/2.
	ProtocolGRPC Protocol = "GRPC"
	// ProtocolTLS is TLS that is passed through, distinguished by its server name.
	ProtocolTLS Protocol = "TLS"
	// ProtocolTCP is any byte stream; only connections are governed.
	ProtocolTCP Protocol = "TCP"
)
