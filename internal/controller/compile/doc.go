// Package compile turns policies, Services and their endpoints into package policy's types for agents, and into sentences about what is
// wrong with policies. It is pure: it must not hold clients, clocks, loggers or state.
//
// It works in two steps, so that the work is proportional to a change. Read checks one policy on its own and resolves its destinations.
// Compile merges the policies that select the same pods into one policy.Profile. DestinationOf is about Services alone.
package compile
