// Package effective works out which policies are in force for a pod, and where each of their settings comes from, with the manager's own compiler
// and from resources alone: those of a cluster, or those in files. It is pure.
package effective
