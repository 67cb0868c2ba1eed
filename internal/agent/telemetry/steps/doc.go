// Package steps shows every decision and wait of one call while it goes on, to who has asked for the next call that matches.
//
// While nobody has, a call reads one pointer when it begins, and at each step whether it has an observer. A call never waits for who watches it: there is
// room for as many steps as one may show, and what is more is counted and left out. Nothing that is shown is a body, a header field's value or a query.
package steps
