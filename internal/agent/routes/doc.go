// Package routes holds the policies in force, compiled for the question that is asked for every call: which settings and which
// instruments govern it.
//
// Readers take no lock for a call that resembles the one before it on its connection: a version is immutable and published by an
// atomic pointer, and what a call needs (settings, breaker, budget, pool, recorder) is resolved once per connection and
// destination. Breakers, budgets, clusters and pools are kept beside the versions, so they survive edits that do not concern them. The
// package must not open sockets, log, or know how policies arrive.
package routes
