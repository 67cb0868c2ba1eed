// Package method knows which HTTP methods are safe and which are idempotent, whatever the version of HTTP.
package method

import "fairlead.dev/fairlead/internal/agent/call"

// ClassOf returns the class of a method by the Hypertext Transfer Protocol (HTTP) Method Registry of IANA
// (https://www.iana.org/assignments/http-methods, RFC 9110 section 16.1). Methods are case-sensitive. One that is not registered is
// Unsafe, since nothing is known of what it does.
func ClassOf(method []byte) call.Method {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", // RFC 9110 section 9.3
		"PRI",      // RFC 9113 section 3.4
		"PROPFIND", // RFC 4918 section 9.1
		"QUERY",    // RFC 10008, though its requests have content
		"REPORT",   // RFC 3253 section 3.6
		"SEARCH":   // RFC 5323 section 2
		return call.Safe
	case "DELETE", "PUT", // RFC 9110 section 9.3
		"ACL",                                                       // RFC 3744 section 8.1
		"BASELINE-CONTROL", "CHECKIN", "CHECKOUT", "LABEL", "MERGE", // RFC 3253
		"MKACTIVITY", "MKWORKSPACE", "UNCHECKOUT", "UPDATE", "VERSION-CONTROL", // RFC 3253
		"BIND", "REBIND", "UNBIND", // RFC 5842
		"COPY", "MKCOL", "MOVE", "PROPPATCH", "UNLOCK", // RFC 4918 section 9
		"LINK", "UNLINK", // RFC 2068 section 19.6.1
		"MKCALENDAR",                         // RFC 4791 section 5.3.1
		"MKREDIRECTREF", "UPDATEREDIRECTREF", // RFC 4437
		"ORDERPATCH": // RFC 3648 section 7
		return call.Idempotent
	}
	// CONNECT, LOCK (RFC 4918), PATCH (RFC 5789) and POST are registered as neither.
	return call.Unsafe
}
