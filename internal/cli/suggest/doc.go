// Package suggest is kubectl fairlead suggest: a RetryPolicy from what was observed of the calls of a workload to a destination, with the reason of each
// field.
//
// What is not known of a destination is not guessed: how many calls it bears, what it costs it to answer one twice, what could stand in for its answer.
package suggest
