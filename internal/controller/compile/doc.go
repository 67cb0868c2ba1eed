// Package compile turns policies and cluster facts into blueprints for agents, and into sentences about what is wrong with
// them. It is pure: it must not hold clients, clocks, loggers or state.
//
// It works in two steps, so that a change costs what it affects. Read checks one policy on its own and resolves its
// destinations. Draw merges the policies that select the same pods into one policy.Profile.
package compile
