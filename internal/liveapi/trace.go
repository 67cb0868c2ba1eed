package liveapi

import (
	"net/netip"
	"time"
)

// TraceField is the field that marks a request that is made to be traced. Its value is the mark that the trace was opened with.
const TraceField = "fairlead-trace"

// TraceLine is one line of a trace. The first one comes when the trace is open, and has nothing in it; so has any that says that it goes on. Then come
// the call that matched, its steps, and its end, which is the last.
type TraceLine struct {
	At    time.Time  `json:"at"`
	Node  string     `json:"node"`
	Begin *TraceCall `json:"begin,omitempty"`
	Step  *TraceStep `json:"step,omitempty"`
	End   *Call      `json:"end,omitempty"`
	// LeftOut counts the steps before the end that there was no room for.
	LeftOut int `json:"leftOut,omitempty"`
}

// TraceCall is the call that matched, as far as that was known when it began.
type TraceCall struct {
	Pod      string `json:"pod"`
	Workload string `json:"workload,omitempty"`
	// Policy governs it, Merged are all that its settings come from, the least significant first; Target is the destination as the policy names it, and
	// Destination the concrete one. Rule is empty where none of the policy's fits.
	Policy      string   `json:"policy"`
	Merged      []string `json:"merged"`
	Target      string   `json:"target"`
	Destination string   `json:"destination"`
	Rule        string   `json:"rule,omitempty"`
	// Mode is Enforce or DryRun.
	Mode string `json:"mode"`
	// Protocol is HTTP, gRPC, or TCP for a connection that is passed through.
	Protocol string `json:"protocol"`
	// Method, Host and Path are the request's, the path without its query.
	Method string         `json:"method,omitempty"`
	Host   string         `json:"host,omitempty"`
	Path   string         `json:"path,omitempty"`
	To     netip.AddrPort `json:"to"`
}

// The steps of a trace.
const (
	// StepBegins: the call begins. Methods says what class its method is of: safe, idempotent or unsafe; Seconds is its deadline, and Limit which that is.
	StepBegins = "begins"
	// StepLimit: a limit (Limit) lets the call pass, has it wait, or refuses it: Result.
	StepLimit = "limit"
	// StepBreaker: the breaker of the destination lets an attempt pass, as a probe, or refuses it: Result.
	StepBreaker = "breaker"
	// StepBudget: the retry budget refuses a retry that was waited for.
	StepBudget = "budget"
	// StepAttempt: an attempt starts, for the reason Result: first, retry, repair, hedge or fallback.
	StepAttempt = "attempt"
	// StepFault: a fault of the policy's meets the attempt, and holds it up for Seconds.
	StepFault = "fault"
	// StepLookup: the addresses of the name are waited for.
	StepLookup = "lookup"
	// StepQueue: there is no place in the connection pool, and the attempt waits for one.
	StepQueue = "queue"
	// StepPlaced: the attempt has an endpoint. Seconds is its deadline, and Limit which that is.
	StepPlaced = "placed"
	// StepChosen: why it is that one (Choice), and Result: reused, or new, for a connection that is to be made.
	StepChosen = "chosen"
	// StepConnected: the connection was made in Seconds, of which TLSSeconds were the handshake's. Detail is the protocol that was agreed on there.
	StepConnected = "connected"
	// StepSent: the whole request has been sent.
	StepSent = "sent"
	// StepInterim: a response of 1xx has gone to the client, so that nothing is retried any more.
	StepInterim = "interim"
	// StepHeld: the response is held back, since its gRPC status is still to come.
	StepHeld = "held"
	// StepEnded: the attempt has ended after Seconds with Result: a status, or a kind of failure.
	StepEnded = "ended"
	// StepJudged: what the policy thinks of that (Class).
	StepJudged = "judged"
	// StepDecision: Result is retry, after Seconds, or the decision not to: method, not_retryable, already_retried, budget, deadline, body or exhausted.
	StepDecision = "decision"
	// StepHedge: no attempt was answered in time. Result is due; refused: there is none beside it; or unplaced: there was no place for it.
	StepHedge = "hedge"
	// StepDismissed: the attempt is given up, since another one decides the call, or nobody waits for it.
	StepDismissed = "dismissed"
	// StepFallback: the call falls back on another destination.
	StepFallback = "fallback"
	// StepAnswer: what the client is answered: Result.
	StepAnswer = "answer"
	// StepFinished: the response has been forwarded to its end, or has broken off.
	StepFinished = "finished"
)

// TraceStep is one step of a call.
type TraceStep struct {
	// AfterSeconds counts from the beginning of the call.
	AfterSeconds float64 `json:"afterSeconds"`
	// Step is one of the constants above, and says what of the rest there is.
	Step     string         `json:"step"`
	Attempt  int            `json:"attempt,omitempty"`
	Result   string         `json:"result,omitempty"`
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
	Limit    string         `json:"limit,omitempty"`
	Seconds  float64        `json:"seconds,omitempty"`
	Detail   string         `json:"detail,omitempty"`
	// of StepBegins
	Methods string `json:"methods,omitempty"`
	Keyed   bool   `json:"keyed,omitempty"`
	Body    bool   `json:"body,omitempty"`
	Retried bool   `json:"retried,omitempty"`
	// of StepConnected and StepEnded
	TLSSeconds float64 `json:"tlsSeconds,omitempty"`
	Reused     bool    `json:"reused,omitempty"`
	// of others
	Class    *TraceClass  `json:"class,omitempty"`
	Choice   *TraceChoice `json:"choice,omitempty"`
	Decision string       `json:"decision,omitempty"`
	// BackoffSeconds was drawn, and WishSeconds is after how long the server wants to be asked again. Retries is how many there were, of MaxRetries.
	BackoffSeconds float64 `json:"backoffSeconds,omitempty"`
	WishSeconds    float64 `json:"wishSeconds,omitempty"`
	Retries        int     `json:"retries,omitempty"`
	MaxRetries     int     `json:"maxRetries,omitempty"`
}

// TraceClass is what a policy thinks of how an attempt has ended.
type TraceClass struct {
	// Good: it answers the call. Retryable: it is among what the policy retries. BreakerFails: the circuit breaker counts it as failed. Unsent: no server
	// can have processed the request.
	Good         bool `json:"good"`
	Retryable    bool `json:"retryable"`
	BreakerFails bool `json:"breakerFails"`
	Unsent       bool `json:"unsent,omitempty"`
}

// TraceChoice says why an endpoint was chosen.
type TraceChoice struct {
	// By is original (only the address that the client called will do), name (the addresses of a name are tried), affinity (the pod keeps its endpoint),
	// round_robin, random or least_request.
	By string `json:"by"`
	// Endpoints is how many there are, of which some are left out as long as there are others: Unreachable for the pod of late, Ejected by their breakers,
	// Used by the call before.
	Endpoints   int `json:"endpoints"`
	Unreachable int `json:"unreachable,omitempty"`
	Ejected     int `json:"ejected,omitempty"`
	Used        int `json:"used,omitempty"`
	// Outstanding is how many calls of the node were under way to it.
	Outstanding int `json:"outstanding"`
	// Full: the pool may make no more connections, so that an endpoint with a free one was preferred.
	Full bool `json:"full,omitempty"`
}
