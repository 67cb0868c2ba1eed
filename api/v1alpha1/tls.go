package v1alpha1

// DestinationTLS says what happens to a host's TLS.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode == 'Passthrough' || has(self.caBundleRef)",message="mode Originate and Intercept need caBundleRef to verify the host: name a ConfigMap or Secret, or write {kind: System} for the public roots"
// +kubebuilder:validation:XValidation:rule="(has(self.mode) && self.mode != 'Passthrough') || !(has(self.sni) || has(self.caBundleRef) || has(self.clientCertificateRef))",message="sni, caBundleRef and clientCertificateRef need mode Originate or Intercept: nothing is verified or presented in Passthrough"
type DestinationTLS struct {
	// mode says who speaks TLS. Defaults to Passthrough.
	// Originate and Intercept are not enforced by this version: accepted and
	// listed by PartiallyEnforced.
	// +optional
	Mode TLSMode `json:"mode,omitempty"`

	// sni is the server name sent to and verified of the host. Absent means
	// the host that was called.
	// Not enforced by this version: accepted and listed by PartiallyEnforced.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!self.contains('*')",message="sni is one server name: write it without a wildcard, or leave it out to use the host that was called"
	SNI Host `json:"sni,omitempty"`

	// caBundleRef names the certificates that the host is verified with.
	// Required with Originate and Intercept.
	// Not enforced by this version: accepted and listed by PartiallyEnforced.
	// +optional
	CABundleRef *CABundleReference `json:"caBundleRef,omitempty"`

	// clientCertificateRef names a Secret of type kubernetes.io/tls that is
	// presented to the host. Absent means none is.
	// Not enforced by this version: accepted and listed by PartiallyEnforced.
	// +optional
	ClientCertificateRef *SecretReference `json:"clientCertificateRef,omitempty"`
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
// +kubebuilder:validation:XValidation:rule="!has(self.key) || has(self.name)",message="key belongs to a ConfigMap or Secret: set name too, or remove key"
type CABundleReference struct {
	// kind is what holds the certificates. Defaults to ConfigMap.
	// +optional
	Kind CABundleKind `json:"kind,omitempty"`

	// name is the ConfigMap's or Secret's name, in the policy's namespace.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// key is the entry holding the PEM bundle. Defaults to ca.crt.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// CABundleKind is what holds trusted certificates.
// +kubebuilder:validation:Enum=ConfigMap;Secret;System
type CABundleKind string

const (
	// CABundleConfigMap is a ConfigMap of the policy's namespace.
	CABundleConfigMap CABundleKind = "ConfigMap"
	// CABundleSecret is a Secret of the policy's namespace.
	CABundleSecret CABundleKind = "Secret"
	// CABundleSystem is the set of public roots that fairlead ships with.
	CABundleSystem CABundleKind = "System"
)

// SecretReference names a Secret of the policy's namespace.
type SecretReference struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
}
