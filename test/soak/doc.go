// Package soak has calls made through the proxy for a while, under random policies and with random faults, and checks what both ends have seen.
//
// A round has one destination with a few servers, some pods with clients of HTTP/1.1, HTTP/2 and gRPC, of which some mark calls as retries, and policies that are edited while calls go on.
// Servers answer late, with failures, slowly or not at all, break connections at any byte, refuse connections, come and go; the agent restarts. In some rounds the agent speaks TLS for pods,
// or ends theirs. Some calls come under a rule with settings of its own, some policies have a fallback, and beside them is a dry run that would answer almost nothing.
//
// Each round is of a kind (kinds_test.go), and all kinds come equally often: a breaker, a limit, an outage of all servers, a breaker that two nodes share, faults, circuits kept open by hand,
// timeouts of every stage, retries and hedges of which all is known, connections that are passed through. A soak counts what its checks had something to say about (tally_test.go), and one that
// lasts 45 s or longer fails if one of them had not: a check that was never exercised has not passed.
//
// What no machine is too busy for fails the soak whenever it is seen: wrong bytes, an attempt too many, a limit or a budget exceeded, a wrong answer. What a machine that stops for
// a while can look like, such as an answer that comes late, is a suspicion: its round is played again, and what does not come again is printed (violations_test.go).
//
// Clients and servers are those of the standard library, and each keeps an account of its own. Once the round is over the accounts are compared:
// the checker knows the policies and the accounts, and nothing of how the proxy works.
//
//	SOAK_TIME=10m SOAK_SEED=7 go test ./test/soak -run TestSoak -v
//
// A round that has failed is repeated alone with SOAK_ROUND, which the failure names; what is drawn is the same, what is scheduled is not.
package soak
