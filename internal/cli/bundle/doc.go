// Package bundle is kubectl fairlead support-bundle: an archive of what somebody needs to know of fairlead in a cluster who is to help, and of nothing else.
//
// It reads no Secrets. What it writes goes through a redactor: values of header fields, bodies, credentials and tokens are replaced, and, if that is wanted,
// names of hosts, nodes and addresses too. What cannot be gathered is listed with the reason, and the rest is gathered all the same.
package bundle
