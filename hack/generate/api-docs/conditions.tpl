{{- /* A test compares this text with api/v1alpha1/conditions.go. */ -}}
{{- define "conditions" }}
## Conditions

`Accepted`, `Programmed` and `Ready` are always present; `Unknown` means "not
observed yet". The others are present only while they are true. While a policy
is not accepted, its last good configuration stays in force.

| Condition | Reason | Status | Meaning |
| --- | --- | --- | --- |
| `Accepted` | `Accepted` | True | The policy is valid. |
| | `AcceptedWithWarnings` | True | Valid, but some of it is unlikely to be meant, such as tries and backoff that cannot fit the overall timeout; the message says what. |
| | `Pending` | Unknown | The manager has not looked at this generation yet. |
| | `Invalid` | False | The policy contradicts itself in a way the API server could not see. |
| | `InvalidSelector` | False | A selector's labels are not well-formed. |
| | `Conflicted` | False | An older policy of the same level has the same selector and destination; the message names it. |
| | `ServiceNotFound` | False | A Service that is named does not exist. |
| | `PortNotFound` | False | A Service has no port of that name or number. |
| | `ReferenceNotFound` | False | A ConfigMap, Secret or ClusterTrustBundle that is named, or its key, does not exist. |
| | `ReferenceForbidden` | False | The manager may not read what is named; the message says what permits it. See [security.md](../security.md#what-policies-refer-to). |
| | `InvalidCABundle` | False | A CA bundle holds no usable certificate, or none that is still valid. |
| | `InvalidCertificate` | False | A client certificate is not usable: it has expired, or its key does not match. |
| | `InvalidCredentials` | False | A user's name or password is not usable. |
| `Programmed` | `Programmed` | True | Every node that runs governed pods acknowledged this generation. |
| | `NoMatchingPods` | True | No pod is selected, so no node is concerned. |
| | `Disabled` | True | The mode is Disabled, and every node concerned removed the policy. |
| | `WaitingForNodes` | False | Some nodes have not answered yet. |
| | `NodesDisconnected` | False | Some nodes' agents are not connected. |
| | `RefusedByNodes` | False | Some nodes' agents refused it; `status.nodes.failures` says why. |
| | `RollingOut` | False | A [rollout](../guides/rollout.md) has yet to bring it to all nodes. |
| | `RolledBack` | False | The rollout was taken back, and the generation before is in force on all nodes; the message says why. |
| | `NotAccepted` | False | The policy is not accepted. |
| `Ready` | `Ready` | True | Accepted and in force. Otherwise the reason is that of the condition that is missing. |
| `Reconciling` | `Progressing` | True | Nodes are taking over a change. |
| | `RollingOut` | True | A rollout is under way. |
| `Stalled` | the reason of `Accepted` or `Programmed` | True | Nothing will change until a person changes something; the message says what. |
| `Conflicted` | `Conflicted` | True | As for `Accepted`. |
| `PartiallyEnforced` | `Encrypted` | True | Calls are encrypted by the pod, so what happens inside cannot be seen; `tls.mode` Originate or Intercept can change that. |
| | `OpaqueProtocol` | True | The protocol has no requests to tell apart. |
| | `QUICSeen` | True | Pods call over QUIC (UDP port 443), which passes by; it may be calls of this destination. |
| | `TLSNotTrusted` | True | Pods whose TLS is to be intercepted do not trust the egress CA: they end their handshakes, or are passed through after `tls.passthroughAfter` of them; see [tls.md](../guides/tls.md). |
| | `TLSNoIssuer` | True | A node has no valid issuer of certificates, so TLS that is to be intercepted is passed through there. |
| | `NoTraceExporter` | True | Calls are to be traced, and the agents of some nodes have nowhere to send spans, so nothing is traced there; see [tracing.md](../guides/tracing.md). |
| | `ServiceAffinity` | True | The Service has a `sessionAffinity`, so each pod keeps its endpoint; see [which endpoint](../operations/README.md#which-endpoint-of-a-service-a-call-goes-to). |
| | `OlderAgents` | True | The agents of some nodes are older than the manager and do not know a field that the policy uses; the message says how many nodes, and which field. Upgrade the agents. |
| | `NotInDryRun` | True | The mode is DryRun, and what the field would do cannot be known; see [dry-run.md](../guides/dry-run.md#what-a-dry-run-cannot-know). |
| | `HostNetwork` | True | Some selected pods are on the host's network. |
| | `NotCaptured` | True | The calls of some selected pods could not be captured; they go directly. |
| | `Several` | True | Several of these; the message and `status.destinations` list them by field. |
| `BreakerForced` | `ForcedOpen` | True | The policy's annotation has circuit breakers reject every call until a time; see [breakers.md](../guides/breakers.md#by-hand). |
| | `ForcedClosed` | True | The policy's annotation keeps circuit breakers from opening until a time. |
| `FaultsActive` | `FaultsInjected` | True | The policy injects faults until a time, which the message says; see [fault-injection.md](../guides/fault-injection.md). |
| `DryRun` | `DryRunMode` | True | The mode is DryRun: calls pass through unchanged. The message says what would have been done within the last minute; see [dry-run.md](../guides/dry-run.md). |
{{ end -}}
