package v1alpha1

// DestinationTLS says what happens to a host's TLS. What a RetryPolicy refers to
// is in its own namespace, what a ClusterRetryPolicy refers to in the namespace
// that fairlead runs in; there a RoleBinding must let the manager read it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode == 'Passthrough' || has(self.caBundleRef)",message="mode Originate and Intercept need caBundleRef to verify the host: name a ConfigMap, Secret or ClusterTrustBundle, or write {kind: System} for the public roots"
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode != 'Passthrough') || !(has(self.sni) || has(self.caBundleRef) || has(self.clientCertificateRef))",message="sni, caBundleRef and clientCertificateRef need mode Originate or Intercept: nothing is verified or presented in Passthrough"
// +kubebuilder:validation:XValidation:rule="!has(self.port) || (has(self.mode) && self.mode == 'Originate')",message="port needs mode Originate: otherwise the port that the pod called is connected to"
// +kubebuilder:validation:XValidation:rule="!has(self.passthroughAfter) || (has(self.mode) && self.mode == 'Intercept')",message="passthroughAfter needs mode Intercept: only there must pods trust the egress CA"
type DestinationTLS struct {
	// mode says who speaks TLS. Defaults to Passthrough.
	// +optional
	Mode TLSMode `json:"mode,omitempty"`

	// sni is the server name sent to and verified of the host. Absent means
	// the host that was called.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.contains('*')",message="sni is one server name: write it without a wildcard, or leave it out to use the host that was called"
	SNI Host `json:"sni,omitempty"`

	// port is the host's port that TLS is spoken on in mode Originate: pods call
	// http://host, the agent connects to this port. Absent means the port that
	// the pod called.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// caBundleRef names the certificates that the host is verified with.
	// Required with Originate and Intercept.
	// +optional
	CABundleRef *CABundleReference `json:"caBundleRef,omitempty"`

	// clientCertificateRef names a Secret of type kubernetes.io/tls (entries
	// tls.crt and tls.key) that is presented to the host. Absent means none is.
	// +optional
	ClientCertificateRef *SecretReference `json:"clientCertificateRef,omitempty"`

	// passthroughAfter is after how many handshakes in a row that a pod ends
	// because it does not trust the egress CA its connections to the host are
	// passed through, in mode Intercept, until the pod or its agent is replaced.
	// Absent means never.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	PassthroughAfter *int32 `json:"passthroughAfter,omitempty"`
}

// TLSMode says who speaks TLS to a host.
// +kubebuilder:validation:Enum=Passthrough;Originate;Intercept
type TLSMode string

const (
	// TLSPassthrough leaves TLS to the pod. What can be enforced is what is
	// visible outside it: connecting, connection limits, idle time.
	TLSPassthrough TLSMode = "Passthrough"
	// TLSOriginate lets pods speak plain HTTP while the agent speaks TLS to
	// the host.
	TLSOriginate TLSMode = "Originate"
	// TLSIntercept ends the pod's TLS with a certificate of the cluster's
	// egress CA, which the pod must trust, and speaks verified TLS to the host.
	TLSIntercept TLSMode = "Intercept"
)

// CABundleReference names trusted certificates.
//
// +kubebuilder:validation:XValidation:rule="(has(self.kind) && self.kind == 'System') != has(self.name)",message="set name, unless kind is System (the public roots), which has none"
// +kubebuilder:validation:XValidation:rule="!has(self.key) || (has(self.name) && !(has(self.kind) && self.kind == 'ClusterTrustBundle'))",message="key is an entry of a ConfigMap or Secret: set name too, or remove key"
// +kubebuilder:validation:XValidation:rule="!has(self.name) || !self.name.contains(':') || (has(self.kind) && self.kind == 'ClusterTrustBundle')",message="only the name of a ClusterTrustBundle has colons: set kind: ClusterTrustBundle, or correct the name"
type CABundleReference struct {
	// kind is what holds the certificates. Defaults to ConfigMap.
	// +optional
	Kind CABundleKind `json:"kind,omitempty"`

	// name is the name of the ConfigMap, Secret or ClusterTrustBundle.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.:a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// key is the entry of the ConfigMap or Secret that holds the PEM bundle.
	// Defaults to ca.crt.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// CABundleKind is what holds trusted certificates.
// +kubebuilder:validation:Enum=ConfigMap;Secret;ClusterTrustBundle;System
type CABundleKind string

const (
	// CABundleConfigMap is a ConfigMap.
	CABundleConfigMap CABundleKind = "ConfigMap"
	// CABundleSecret is a Secret.
	CABundleSecret CABundleKind = "Secret"
	// CABundleClusterTrustBundle is a ClusterTrustBundle, in clusters that
	// serve certificates.k8s.io/v1 or v1beta1 of it.
	CABundleClusterTrustBundle CABundleKind = "ClusterTrustBundle"
	// CABundleSystem is the set of public roots that fairlead ships with.
	CABundleSystem CABundleKind = "System"
)

// SecretReference names a Secret, in the namespace of a RetryPolicy, or, for a
// ClusterRetryPolicy, in the one that fairlead runs in.
type SecretReference struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
}
