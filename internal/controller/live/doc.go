// Package live answers the manager's part of the live API: who calls what, how policies do, which nodes there are, and what has changed.
package live
