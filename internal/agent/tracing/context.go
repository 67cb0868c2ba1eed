// Package tracing reads and writes the trace context of calls (W3C Trace Context, https://www.w3.org/TR/trace-context/). It must not keep or export
// anything.
package tracing

import (
	"encoding/hex"
	"math/rand/v2"
)

// The fields that carry a trace context, in lower case.
const (
	Parent = "traceparent"
	State  = "tracestate"
)

// TraceID names a trace; zero: none.
type TraceID [16]byte

// SpanID names a span of a trace; zero: none.
type SpanID [8]byte

// String returns the identifier as traceparent spells it.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// String returns the identifier as traceparent spells it.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// Sampled is the trace flag that says that the caller records the trace (section 3.2.2.5.1).
const Sampled = 1

// knownFlags are the flags that are passed on: sampled, and random-trace-id of level 2. "The behavior of other flags … is not defined …
// vendors MUST set those to zero" (section 3.2.2.5.2).
const knownFlags = 3

// Context is what traceparent says.
type Context struct {
	Trace TraceID
	Span  SpanID
	Flags byte
}

// valueLen is how long a traceparent of version 00 is.
const valueLen = 2 + 1 + 32 + 1 + 16 + 1 + 2

// Parse reads a traceparent. ok is false if it is none that may be gone on with (section 3.2.2); one of a later version is read as far as
// version 00 goes (section 4.2).
func Parse(value []byte) (c Context, ok bool) {
	if len(value) < valueLen || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return Context{}, false
	}
	var version, flags [1]byte
	if !decode(version[:], value[:2]) || version[0] == 0xff || !decode(flags[:], value[53:valueLen]) {
		return Context{}, false
	}
	if len(value) > valueLen && (version[0] == 0 || value[valueLen] != '-') {
		return Context{}, false
	}
	if !decode(c.Trace[:], value[3:35]) || !decode(c.Span[:], value[36:52]) || c.Trace == (TraceID{}) || c.Span == (SpanID{}) {
		return Context{}, false
	}
	c.Flags = flags[0] & knownFlags
	return c, true
}

// decode reads hexadecimal digits, of which traceparent has small ones only.
func decode(dst, digits []byte) bool {
	for i := range dst {
		high, low := digit(digits[2*i]), digit(digits[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

// digit returns the value of a hexadecimal digit, or more than 15.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// Append appends the traceparent that says c, of version 00.
func (c *Context) Append(dst []byte) []byte {
	dst = hex.AppendEncode(append(dst, "00-"...), c.Trace[:])
	dst = hex.AppendEncode(append(dst, '-'), c.Span[:])
	return hex.AppendEncode(append(dst, '-'), []byte{c.Flags})
}

// NewTraceID returns an identifier that nobody else has, as far as chance goes.
func NewTraceID() (id TraceID) {
	for id == (TraceID{}) {
		put(id[:8], rand.Uint64()) //nolint:gosec // identifiers are no secrets
		put(id[8:], rand.Uint64()) //nolint:gosec // as above
	}
	return id
}

// NewSpanID returns an identifier that nobody else has, as far as chance goes.
func NewSpanID() (id SpanID) {
	for id == (SpanID{}) {
		put(id[:], rand.Uint64()) //nolint:gosec // as above
	}
	return id
}

func put(dst []byte, n uint64) {
	for i := range dst {
		dst[i] = byte(n >> (8 * i))
	}
}

// Draw decides by chance for so many in a hundred.
func Draw(percent int) bool { return rand.IntN(100) < percent } //nolint:gosec // as above
