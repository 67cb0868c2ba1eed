// Package intent says what of a pod's traffic is to be redirected to the agent: its normal form, comparison, and which policies a
// connection to an address would come under.
//
// It must not know how redirecting is done. It makes no system calls.
package intent
