// Package run is the command that runs another one under policies of files, on one machine and without Kubernetes.
//
// It enforces nothing itself: see internal/standalone.
package run
