// Package plugin tests kubectl fairlead against a real API server: with the rights that docs/reference/cli.md lists each command does its work, and without one of
// them it says so.
package plugin
