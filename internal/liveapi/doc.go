// Package liveapi is the live API of agents and manager: what they answer under /debug/v1, and how a request is read.
//
// The types are versioned by the path. Within a version fields are only added, so a reader ignores those that it does not know, and a field that is
// left out says that there is nothing to say. Times are in RFC 3339, durations are seconds.
//
// Agents and manager serve it to their own pods alone (Within), where port-forwarding comes from: whoever reads it needs the right to
// pods/portforward in fairlead's namespace. Nothing in it is a body, a header field's value or a query. Their ports
// have health and metrics for anybody, too: Serve bounds the connections, ForAnybody the answers of a page.
package liveapi
