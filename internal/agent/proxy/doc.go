// Package proxy is the conveyor: it carries captured connections from the pod to where they were going, and drives calls on
// the way.
//
// One goroutine owns a connection from end to end. Whatever may be HTTP/1 is looked at; its calls are driven through
// agent/call, exchange by exchange; everything else passes through untouched. In steady state a call costs two reads, two
// writes, no allocation, no timer change and no hand-over to another goroutine.
//
// The package must not know where connections come from, decide policy, or keep state beyond a connection: that is capture's,
// call's and store's.
package proxy
