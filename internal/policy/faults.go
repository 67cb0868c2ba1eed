package policy

import "time"

// MaxFaults is how far ahead the end of faults may be when they are written, and MaxFaultsAhead how far ahead anybody believes it to be: clocks differ.
const (
	MaxFaults      = 24 * time.Hour
	MaxFaultsAhead = MaxFaults + 5*time.Minute
)

// DefaultFaultStatus is the status of an answer that stands in for an attempt, where none is written.
const DefaultFaultStatus = 503

// Faults are injected into a share of the attempts of calls, until a time.
type Faults struct {
	// Until is when it ends, in seconds since 1970, UTC.
	Until   int64
	Percent int
	// Delay is how long an attempt is held up, JitterPercent of it more or less; 0: not at all.
	Delay         time.Duration
	JitterPercent int
	Abort         FaultAbort
	// Status and GRPCStatus are those of FaultResponse.
	Status     int
	GRPCStatus GRPCStatus
}

// End is Until as a time.
func (f *Faults) End() time.Time { return time.Unix(f.Until, 0).UTC() }

// FaultAbort is what stands in for an attempt.
type FaultAbort uint8

// What does.
const (
	// NoFaultAbort: the attempt goes on.
	NoFaultAbort FaultAbort = iota
	// FaultResponse: an answer with a status.
	FaultResponse
	// FaultReset: a reset of the connection before a byte of the request was sent.
	FaultReset
)
