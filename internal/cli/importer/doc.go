// Package importer is kubectl fairlead import: RetryPolicies out of the retries, timeouts and circuit breakers of Gateway API routes, Istio and Linkerd.
//
// It reads objects as trees and marks what it has read, so that whatever is set in one and not read is listed as not kept: nothing is dropped
// silently, of versions that are newer than this program neither.
package importer
