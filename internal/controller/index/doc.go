// Package index knows which policies govern which pods, and works out what a change of the cluster changes for agents. It is pure: it must
// not hold clients, clocks or loggers. What it needs to know of Services it asks a ClusterLookup.
//
// Changes come in by Set and Delete methods, which are quick. What follows comes out in two steps, so that compiling, the expensive part,
// happens outside the index's lock and on all cores: Take returns the profiles to compile as jobs with a snapshot of their inputs, and
// Publish, with the compiled jobs, returns the changes for agents. A job whose inputs have changed meanwhile is dropped; its profile waits
// to be taken again.
package index
