// Package policies makes of policy files what an agent's data plane works from, without a cluster: one workload, the command, that the policies
// of the files govern.
//
// It reads no files, looks up no names and opens no sockets.
package policies
