// Package model is what the dashboard's pages ask its server for: paths, parameters, answers, and the events of its streams. It is pure.
//
// The paths are relative to the page that is open, which may be below any prefix: a page asks for "api/v1/overview" and never for "/api/v1/overview".
//
// Every answer is JSON and has a header field ETag. A page sends it back as If-None-Match and is answered 304 where nothing has changed. What is
// wrong with a request, or could not be read from the cluster, is answered with a status of 400 or more and a Problem. Times are in RFC 3339, durations
// are seconds, shares are from 0 to 1. A field that is left out has nothing to say.
//
// Names, hosts, paths and messages come from the cluster and from calls, and may hold anything: a page shows them as text alone.
package model
