package v1alpha1

// AnnotationCircuitBreaker on a policy keeps its circuit breakers open or
// closed until a time, at most 24 hours ahead:
//
//	open until 2026-11-27T10:00:00Z
//	closed to[1] until 2026-11-27T10:00:00+01:00
//
// The first rejects every call, the second has the breakers of the second entry
// of to let every call pass.
const AnnotationCircuitBreaker = "policy.fairlead.dev/circuit-breaker"
