// Package dashboard serves the dashboard's pages, and answers what they ask for from a Source. It must not read a cluster itself.
//
// Whoever may read the pages may see what the Source's user may: so it listens on loopback, answers only below a secret prefix or, behind a proxy that
// asks who somebody is, only to the host names that it was given, and lets no page of another site read or frame it.
package dashboard
