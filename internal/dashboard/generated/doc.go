// Package generated is a large cluster that exists in memory alone: its objects, and what its manager and agents answer. It is for tests of the
// dashboard, and for working on its pages; no program that is shipped has it.
//
// Some of its names are attempts to have a page run a script.
package generated
