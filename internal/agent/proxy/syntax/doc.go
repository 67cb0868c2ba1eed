// Package syntax holds the elements that all versions of HTTP spell in the same way (RFC 9110, RFC 3986): tokens, the text of field values,
// hosts, schemes and lengths.
//
// It must not know of messages, and does not allocate.
package syntax
