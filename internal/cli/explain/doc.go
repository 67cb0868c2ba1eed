// Package explain is kubectl fairlead explain: which policy, rule and settings would govern a call of a pod, step by step, from resources alone.
//
// How destinations and rules fit is the agents' to say; a test compares what this package finds with what an agent's own routes do.
package explain
