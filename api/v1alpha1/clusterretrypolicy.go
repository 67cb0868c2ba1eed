package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterRetryPolicy governs calls made by pods of many namespaces, either as
// defaults that namespaces may change, or as overrides that they may not.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=crp,categories=fairlead
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.status.mode`
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.matchedPods`
// +kubebuilder:printcolumn:name="Nodes",type=string,JSONPath=`.status.nodes.summary`
// +kubebuilder:printcolumn:name="RPS",type=string,JSONPath=`.status.traffic.rps`
// +kubebuilder:printcolumn:name="Success",type=string,JSONPath=`.status.traffic.success`
// +kubebuilder:printcolumn:name="Retries",type=integer,JSONPath=`.status.traffic.retries`
// +kubebuilder:printcolumn:name="P99",type=string,JSONPath=`.status.traffic.p99`
// +kubebuilder:printcolumn:name="Breaker",type=string,JSONPath=`.status.traffic.breaker`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Destinations",type=string,JSONPath=`.status.destinationSummary`,priority=1
// +kubebuilder:printcolumn:name="Opaque",type=string,JSONPath=`.status.traffic.opaque.summary`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type ClusterRetryPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the policy asks for.
	// +required
	Spec ClusterRetryPolicySpec `json:"spec"`

	// status is what became of it, written by the manager.
	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// ClusterRetryPolicySpec is what a ClusterRetryPolicy asks for. It governs calls
// on its own, also where no RetryPolicy names the destination: `to: [{any: {}}]`
// with defaults is one safe default for all egress. References (CA bundles,
// client certificates) are read from the namespace fairlead runs in.
//
// +kubebuilder:validation:XValidation:rule="has(self.defaults) != has(self.overrides)",message="set exactly one of defaults (namespaces may change them) and overrides (they may not)"
// +kubebuilder:validation:XValidation:rule="!has(self.defaults) || !has(self.defaults.fallback) || !has(self.defaults.fallback.destination) || ((!has(self.defaults.fallback.destination.host) || !self.to.exists(t, has(t.host) && t.host == self.defaults.fallback.destination.host)) && (!has(self.defaults.fallback.destination.service) || !self.to.exists(t, has(t.service) && t.service.name == self.defaults.fallback.destination.service.name && has(t.service.__namespace__) == has(self.defaults.fallback.destination.service.__namespace__) && (!has(t.service.__namespace__) || t.service.__namespace__ == self.defaults.fallback.destination.service.__namespace__))))",message="fallback.destination must not be a destination of the same policy: name another host or service, or remove it from to"
// +kubebuilder:validation:XValidation:rule="!has(self.defaults) || !has(self.defaults.rules) || self.defaults.rules.all(r, !has(r.fallback) || !has(r.fallback.destination) || ((!has(r.fallback.destination.host) || !self.to.exists(t, has(t.host) && t.host == r.fallback.destination.host)) && (!has(r.fallback.destination.service) || !self.to.exists(t, has(t.service) && t.service.name == r.fallback.destination.service.name && has(t.service.__namespace__) == has(r.fallback.destination.service.__namespace__) && (!has(t.service.__namespace__) || t.service.__namespace__ == r.fallback.destination.service.__namespace__)))))",message="a rule's fallback.destination must not be a destination of the same policy: name another host or service, or remove it from to"
// +kubebuilder:validation:XValidation:rule="!has(self.overrides) || !has(self.overrides.fallback) || !has(self.overrides.fallback.destination) || ((!has(self.overrides.fallback.destination.host) || !self.to.exists(t, has(t.host) && t.host == self.overrides.fallback.destination.host)) && (!has(self.overrides.fallback.destination.service) || !self.to.exists(t, has(t.service) && t.service.name == self.overrides.fallback.destination.service.name && has(t.service.__namespace__) == has(self.overrides.fallback.destination.service.__namespace__) && (!has(t.service.__namespace__) || t.service.__namespace__ == self.overrides.fallback.destination.service.__namespace__))))",message="fallback.destination must not be a destination of the same policy: name another host or service, or remove it from to"
// +kubebuilder:validation:XValidation:rule="!has(self.overrides) || !has(self.overrides.rules) || self.overrides.rules.all(r, !has(r.fallback) || !has(r.fallback.destination) || ((!has(r.fallback.destination.host) || !self.to.exists(t, has(t.host) && t.host == r.fallback.destination.host)) && (!has(r.fallback.destination.service) || !self.to.exists(t, has(t.service) && t.service.name == r.fallback.destination.service.name && has(t.service.__namespace__) == has(r.fallback.destination.service.__namespace__) && (!has(t.service.__namespace__) || t.service.__namespace__ == r.fallback.destination.service.__namespace__)))))",message="a rule's fallback.destination must not be a destination of the same policy: name another host or service, or remove it from to"
// +kubebuilder:validation:XValidation:rule="!has(self.defaults) || ((!has(self.defaults.faults) || (has(self.defaults.faults.mode) && self.defaults.faults.mode == 'Disabled')) && (!has(self.defaults.rules) || self.defaults.rules.all(r, !has(r.faults) || (has(r.faults.mode) && r.faults.mode == 'Disabled'))))",message="faults in a ClusterRetryPolicy may only be switched off: write faults: {mode: Disabled} here, and what is injected in a RetryPolicy"
// +kubebuilder:validation:XValidation:rule="!has(self.overrides) || ((!has(self.overrides.faults) || (has(self.overrides.faults.mode) && self.overrides.faults.mode == 'Disabled')) && (!has(self.overrides.rules) || self.overrides.rules.all(r, !has(r.faults) || (has(r.faults.mode) && r.faults.mode == 'Disabled'))))",message="faults in a ClusterRetryPolicy may only be switched off: write faults: {mode: Disabled} here, and what is injected in a RetryPolicy"
type ClusterRetryPolicySpec struct {
	// mode says whether the policy acts. Defaults to Enforce.
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// namespaceSelector picks the callers' namespaces by their labels. Absent
	// or empty selects every namespace. To select by name, use the label
	// kubernetes.io/metadata.name.
	// +optional
	// +kubebuilder:validation:XValidation:rule="(!has(self.matchLabels) || self.matchLabels.size() <= 16) && (!has(self.matchExpressions) || self.matchExpressions.size() <= 16)",message="write at most 16 matchLabels and 16 matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="operator must be In, NotIn, Exists or DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && e.values.size() > 0))",message="operators In and NotIn need values; Exists and DoesNotExist take none"
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// podSelector picks the callers within those namespaces by their labels.
	// Absent or empty selects every pod.
	// +optional
	// +kubebuilder:validation:XValidation:rule="(!has(self.matchLabels) || self.matchLabels.size() <= 16) && (!has(self.matchExpressions) || self.matchExpressions.size() <= 16)",message="write at most 16 matchLabels and 16 matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="operator must be In, NotIn, Exists or DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && e.values.size() > 0))",message="operators In and NotIn need values; Exists and DoesNotExist take none"
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`

	// to lists the destinations whose calls are governed; a call to any of
	// them is.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	To []Destination `json:"to"`

	// defaults apply below every RetryPolicy: whatever a RetryPolicy sets for
	// the same call replaces them.
	// +optional
	Defaults *PolicyBody `json:"defaults,omitempty"`

	// overrides apply above every RetryPolicy: they replace whatever
	// RetryPolicies set for the same call.
	// +optional
	Overrides *PolicyBody `json:"overrides,omitempty"`

	// rollout brings a change of this policy to a share of the nodes first.
	// Absent: every node gets it at once.
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`
}

// Body returns the block that is set, defaults or overrides. It returns nil for
// an object that did not pass validation.
func (s *ClusterRetryPolicySpec) Body() *PolicyBody {
	if s.Overrides != nil {
		return s.Overrides
	}
	return s.Defaults
}

// ClusterRetryPolicyList is a list of ClusterRetryPolicies.
//
// +kubebuilder:object:root=true
type ClusterRetryPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterRetryPolicy `json:"items"`
}
