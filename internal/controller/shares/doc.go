// Package shares divides what a limit lets the whole cluster start among its nodes, by what they ask for (rateLimit.scope: Cluster).
//
// It is pure: it is given the time and what nodes report, and says what each may have. docs/decisions/015 says why it is as it is.
package shares
