package v1alpha1

// Condition types of a policy. Accepted, Programmed and Ready are always
// present; Unknown means "not observed yet". The others are present only while
// they are True. Reconciling and Stalled are those of kstatus, by which GitOps
// tools judge an object.
const (
	// ConditionAccepted says whether the policy is valid together with the
	// objects it names and the other policies. While it is False, the last good
	// configuration of the policy stays in force.
	ConditionAccepted = "Accepted"
	// ConditionProgrammed says whether every node that runs governed pods has
	// acknowledged this generation.
	ConditionProgrammed = "Programmed"
	// ConditionReady sums up: the policy is accepted, and programmed on every
	// node that should have it.
	ConditionReady = "Ready"
	// ConditionReconciling says that a change is on its way to the nodes.
	ConditionReconciling = "Reconciling"
	// ConditionStalled says that no progress will be made until a person
	// changes something; its message says what.
	ConditionStalled = "Stalled"
	// ConditionConflicted says that an older policy of the same level has the
	// same selector and destination; its message names that policy.
	ConditionConflicted = "Conflicted"
	// ConditionPartiallyEnforced says that some fields that are set are not
	// enforced; its message names them.
	ConditionPartiallyEnforced = "PartiallyEnforced"
	// ConditionBreakerForced says that the policy's annotation keeps circuit
	// breakers open or closed for a time.
	ConditionBreakerForced = "BreakerForced"
	// ConditionFaultsActive says that faults are injected for a time, to put the
	// policy to the test.
	ConditionFaultsActive = "FaultsActive"
	// ConditionDryRun says that the policy only reports what it would do.
	ConditionDryRun = "DryRun"
)

// Reasons of Accepted.
const (
	// ReasonAccepted (True): the policy is valid.
	ReasonAccepted = "Accepted"
	// ReasonAcceptedWithWarnings (True): the policy is valid, but some of it is
	// unlikely to be meant, such as attempts and backoff that cannot fit the
	// overall timeout; the message says what.
	ReasonAcceptedWithWarnings = "AcceptedWithWarnings"
	// ReasonPending (Unknown): the manager has not looked at this generation.
	ReasonPending = "Pending"
	// ReasonInvalid (False): the policy contradicts itself in a way that the
	// API server could not see.
	ReasonInvalid = "Invalid"
	// ReasonInvalidSelector (False): a selector's labels are not well-formed.
	ReasonInvalidSelector = "InvalidSelector"
	// ReasonConflicted (False): an older policy of the same level has the same
	// selector and destination.
	ReasonConflicted = "Conflicted"
	// ReasonServiceNotFound (False): a Service that is named does not exist.
	ReasonServiceNotFound = "ServiceNotFound"
	// ReasonPortNotFound (False): a Service has no port of that name or number.
	ReasonPortNotFound = "PortNotFound"
	// ReasonReferenceNotFound (False): a ConfigMap, Secret or ClusterTrustBundle
	// that is named, or its key, does not exist.
	ReasonReferenceNotFound = "ReferenceNotFound"
	// ReasonReferenceForbidden (False): the manager may not read what is named;
	// the message says what permits it.
	ReasonReferenceForbidden = "ReferenceForbidden"
	// ReasonInvalidCABundle (False): a CA bundle holds no usable certificate.
	ReasonInvalidCABundle = "InvalidCABundle"
	// ReasonInvalidCertificate (False): a client certificate is not usable: it
	// has expired, or its key does not match.
	ReasonInvalidCertificate = "InvalidCertificate"
	// ReasonInvalidCredentials (False): a user's name or password is not usable.
	ReasonInvalidCredentials = "InvalidCredentials"
)

// Reasons of Programmed.
const (
	// ReasonProgrammed (True): every node concerned acknowledged it.
	ReasonProgrammed = "Programmed"
	// ReasonNoMatchingPods (True): no pod is selected, so no node is concerned.
	ReasonNoMatchingPods = "NoMatchingPods"
	// ReasonDisabled (True): the mode is Disabled, and every node concerned has
	// removed the policy. Also the reason of Ready then.
	ReasonDisabled = "Disabled"
	// ReasonWaitingForNodes (False): some nodes have not answered yet.
	ReasonWaitingForNodes = "WaitingForNodes"
	// ReasonNodesDisconnected (False): some nodes' agents are not connected.
	ReasonNodesDisconnected = "NodesDisconnected"
	// ReasonRefusedByNodes (False): some nodes' agents refused it;
	// status.nodes.failures says why.
	ReasonRefusedByNodes = "RefusedByNodes"
	// ReasonRollingOut (False): a rollout has yet to bring it to all nodes. Also
	// the reason of Reconciling then.
	ReasonRollingOut = "RollingOut"
	// ReasonRolledBack (False): the rollout was taken back, and the generation
	// before is in force on all nodes. Also the reason of Stalled then.
	ReasonRolledBack = "RolledBack"
	// ReasonNotAccepted (False): the policy is not accepted. Ready and Stalled
	// have the reason of Accepted then.
	ReasonNotAccepted = "NotAccepted"
)

// Reasons of Ready, besides those of the condition that keeps it from True.
const (
	// ReasonReady (True): the policy is accepted and in force.
	ReasonReady = "Ready"
)

// Reasons of Reconciling.
const (
	// ReasonProgressing (True): nodes are taking over the change.
	ReasonProgressing = "Progressing"
)

// Reasons of PartiallyEnforced, and of each field in
// status.destinations.notEnforced.
const (
	// ReasonEncrypted: the calls are encrypted by the pod, so that each
	// connection is one call, and what happens inside cannot be seen; tls.mode
	// Originate or Intercept can change that.
	ReasonEncrypted = "Encrypted"
	// ReasonOpaqueProtocol: the protocol has no requests to tell apart, so that
	// each connection is one call.
	ReasonOpaqueProtocol = "OpaqueProtocol"
	// ReasonServiceAffinity: the Service has a sessionAffinity, so each pod
	// keeps its endpoint.
	ReasonServiceAffinity = "ServiceAffinity"
	// ReasonQUICSeen: pods call over QUIC (UDP port 443) in place of TCP, which
	// passes by; it may be calls of this destination. udp443: Reject makes
	// clients fall back to TCP.
	ReasonQUICSeen = "QUICSeen"
	// ReasonTLSNotTrusted: pods whose TLS is intercepted do not trust the egress
	// CA: they end their handshakes, or are passed through after
	// tls.passthroughAfter of them. The message names one of each node.
	ReasonTLSNotTrusted = "TLSNotTrusted"
	// ReasonTLSNoIssuer: a node has no valid issuer of certificates, so TLS that is
	// to be intercepted is passed through there.
	ReasonTLSNoIssuer = "TLSNoIssuer"
	// ReasonNoTraceExporter: calls are to be traced (observability.tracing), and
	// the agents of some nodes have nowhere to send spans, so nothing is traced
	// there. The message names a pod of each.
	ReasonNoTraceExporter = "NoTraceExporter"
	// ReasonHostNetwork: some selected pods are on the host's network.
	ReasonHostNetwork = "HostNetwork"
	// ReasonNotCaptured: the calls of some selected pods could not be captured;
	// they go directly.
	ReasonNotCaptured = "NotCaptured"
	// ReasonOlderAgents: the agents of some nodes are older than the manager
	// and do not know what some fields need, or what a Service asks for; on
	// these nodes it is not enforced until they are upgraded.
	ReasonOlderAgents = "OlderAgents"
	// ReasonNotInDryRun: what a dry run cannot know, such as what other
	// connections would have done.
	ReasonNotInDryRun = "NotInDryRun"
	// ReasonSeveral: several of these reasons apply.
	ReasonSeveral = "Several"
)

// Reasons of BreakerForced.
const (
	// ReasonForcedOpen (True): calls are rejected until a time.
	ReasonForcedOpen = "ForcedOpen"
	// ReasonForcedClosed (True): no circuit breaker opens until a time.
	ReasonForcedClosed = "ForcedClosed"
)

// Reasons of FaultsActive.
const (
	// ReasonFaultsInjected (True): attempts meet faults until a time.
	ReasonFaultsInjected = "FaultsInjected"
)

// Reasons of DryRun.
const (
	// ReasonDryRunMode (True): the mode is DryRun.
	ReasonDryRunMode = "DryRunMode"
)
