// Package inventory keeps who has called what in the last hour, in slots of ten seconds, as the nodes' agents report it.
//
// What it keeps is bounded: so many flows are kept apart, those with the most calls; what is beyond is summed, so that the sums of all are right.
// The slots of a flow are kept in a form that takes some twenty bytes for one with calls and none for one without.
package inventory
