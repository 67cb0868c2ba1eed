// Package flows counts which workload calls what, for reports to the manager: under wide destinations (any, patterns of hosts, blocks) each that
// calls really go to by itself.
//
// A route has a Line, so that counting a call looks nothing up as long as its calls are for one host. Hosts come from traffic, so how many are
// counted apart is bounded, for the node and for each caller; what is beyond is counted as other. Nothing is counted unless somebody wants it.
package flows
