// Package manager tests the manager against a real API server, with its own role and nothing more, and with the client that agents use.
package manager
