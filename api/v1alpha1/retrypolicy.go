package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RetryPolicy governs the calls that pods of its namespace make to the
// destinations it names: timeouts, retries, connection pools, circuit breakers,
// limits and fallbacks, without any change to the pods. The caller's side owns
// its resilience, so a policy lives where the callers live.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rp,categories=fairlead
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
type RetryPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the policy asks for.
	// +required
	Spec RetryPolicySpec `json:"spec"`

	// status is what became of it, written by the manager.
	// +optional
	Status PolicyStatus `json:"status,omitzero"`
}

// RetryPolicySpec is what a RetryPolicy asks for.
//
// Policies merge. For one call of one pod, the order is: ClusterRetryPolicy
// defaults, then RetryPolicies without podSelector, then RetryPolicies with
// podSelector, then ClusterRetryPolicy overrides; at one level the more specific
// destination comes later. Each later block is merged over the earlier ones as
// an RFC 7386 merge patch: fields that are set replace, lists replace as a
// whole, fields that are absent inherit.
//
// +kubebuilder:validation:XValidation:rule="!has(self.fallback) || !has(self.fallback.destination) || ((!has(self.fallback.destination.host) || !self.to.exists(t, has(t.host) && t.host == self.fallback.destination.host)) && (!has(self.fallback.destination.service) || !self.to.exists(t, has(t.service) && t.service.name == self.fallback.destination.service.name && has(t.service.__namespace__) == has(self.fallback.destination.service.__namespace__) && (!has(t.service.__namespace__) || t.service.__namespace__ == self.fallback.destination.service.__namespace__))))",message="fallback.destination must not be a destination of the same policy: name another host or service, or remove it from to"
// +kubebuilder:validation:XValidation:rule="!has(self.rules) || self.rules.all(r, !has(r.fallback) || !has(r.fallback.destination) || ((!has(r.fallback.destination.host) || !self.to.exists(t, has(t.host) && t.host == r.fallback.destination.host)) && (!has(r.fallback.destination.service) || !self.to.exists(t, has(t.service) && t.service.name == r.fallback.destination.service.name && has(t.service.__namespace__) == has(r.fallback.destination.service.__namespace__) && (!has(t.service.__namespace__) || t.service.__namespace__ == r.fallback.destination.service.__namespace__)))))",message="a rule's fallback.destination must not be a destination of the same policy: name another host or service, or remove it from to"
type RetryPolicySpec struct {
	// mode says whether the policy acts. Defaults to Enforce.
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// podSelector picks the callers by their labels. Absent or empty selects
	// every pod of the namespace. Pods on the host's network are never governed.
	// +optional
	// +kubebuilder:validation:XValidation:rule="(!has(self.matchLabels) || self.matchLabels.size() <= 16) && (!has(self.matchExpressions) || self.matchExpressions.size() <= 16)",message="write at most 16 matchLabels and 16 matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist'])",message="operator must be In, NotIn, Exists or DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && e.values.size() > 0))",message="operators In and NotIn need values; Exists and DoesNotExist take none"
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`

	// to lists the destinations whose calls are governed; a call to any of
	// them is. Calls to anything else pass through untouched.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	To []Destination `json:"to"`

	PolicyBody `json:",inline"`

	// rollout brings a change of this policy to a share of the nodes first.
	// Absent: every node gets it at once.
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`
}

// RetryPolicyList is a list of RetryPolicies.
//
// +kubebuilder:object:root=true
type RetryPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RetryPolicy `json:"items"`
}
