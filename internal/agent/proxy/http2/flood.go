package http2

import "time"

// drain is one kind of frame that costs us more than it costs the peer.
type drain uint8

const (
	drainReset drain = iota
	drainPing
	drainSettings
	drainEmpty
	drainUpdate
	drainPriority
	drainOther
	drains
)

// allowances are how many of each a peer may send at once, and a second from then on; useful frames are credited besides. Each is
// far above what clients and servers do that mean well, and far below what costs a noticeable part of a core.
var allowances = [drains]struct {
	burst, perSecond int32
	err              *Error
}{
	// Streams opened and reset (CVE-2023-44487), or opened in a way that makes us reset them (CVE-2025-8671). Each stream that comes
	// to its end makes up for one, so that a client may cancel half of its requests for ever, as one that hedges does.
	drainReset: {1000, 100, ErrFloodReset},
	// CVE-2019-9512. gRPC measures a path with pings, one for each round trip with data.
	drainPing: {1000, 100, ErrFloodPing},
	// CVE-2019-9515.
	drainSettings: {100, 10, ErrFloodSettings},
	// CVE-2019-9518: DATA without data, HEADERS without fields.
	drainEmpty: {1000, 100, ErrFloodEmptyData},
	// CVE-2019-9511. Some clients answer each DATA frame with two updates, however small it was.
	drainUpdate: {10_000, 1000, ErrFloodWindowUpdate},
	// CVE-2019-9513. Older clients send one with each request.
	drainPriority: {1000, 100, ErrFloodPriority},
	// Frames of unknown types, of which PRIORITY_UPDATE (RFC 9218) is one, are ignored (RFC 9113 section 5.5), but read; RFC 9113
	// section 10.5 counts them among the abuses.
	drainOther: {1000, 100, ErrFloodOther},
}

// updatesPerData is how many WINDOW_UPDATEs a DATA frame sent to the peer is good for: one for the stream and one for the connection,
// and as many again for those who give a frame back in parts.
const updatesPerData = 4

// Flood counts what a peer sends that costs us more than it costs the peer. It is given the time. In any time t it lets pass no more
// than twice the burst and t times the rate, and what was credited.
//
// CONTINUATION is counted by the Parser, and the size of header lists by the Decoder. A peer that stops reading or gives no window is the
// driver's to bound: it has the timers.
type Flood struct {
	left [drains]int32
	last time.Time
	role Role
}

// Init starts counting.
func (f *Flood) Init(r Role, now time.Time) {
	f.last, f.role = now, r
	for k := range f.left {
		f.left[k] = allowances[k].burst
	}
}

// Frame counts a frame that Parser.Next found. Its error is OnConnection with ENHANCE_YOUR_CALM.
func (f *Flood) Frame(fr *Frame, now time.Time) error {
	switch fr.Type {
	case Data:
		if len(fr.Payload) > 0 || fr.EndStream {
			f.credit(drainPing, 1)
			return nil
		}
		return f.spend(drainEmpty, now)
	case Headers:
		f.credit(drainPing, 1)
		f.credit(drainPriority, 1)
		f.credit(drainOther, 1)
		if len(fr.Payload) == 0 {
			return f.spend(drainEmpty, now)
		}
		return nil
	case Ping:
		return f.spend(drainPing, now)
	case SettingsFrame:
		return f.spend(drainSettings, now)
	case WindowUpdate:
		return f.spend(drainUpdate, now)
	case Priority:
		return f.spend(drainPriority, now)
	case RSTStream:
		if f.role == Client {
			return nil // a server resets what we opened
		}
		return f.spend(drainReset, now)
	case GoAway, PushPromise, Continuation:
	}
	return f.spend(drainOther, now)
}

// Reset counts a stream that we had to reset because of what the peer sent on it, or that was refused. Its error is that of Frame.
func (f *Flood) Reset(now time.Time) error { return f.spend(drainReset, now) }

// Completed credits a stream that the peer did not waste: both sides have ended it.
func (f *Flood) Completed() { f.credit(drainReset, 1) }

// Sent credits frames with data, or header blocks, that we sent to the peer: pings and window updates are their echo.
func (f *Flood) Sent(frames int) {
	n := int32(min(frames, 1<<16))
	f.credit(drainPing, n)
	f.credit(drainUpdate, updatesPerData*n)
}

func (f *Flood) credit(k drain, n int32) { f.left[k] = min(f.left[k]+n, allowances[k].burst) }

// spend takes one off what is left. What time has added since is looked up only when nothing is left.
func (f *Flood) spend(k drain, now time.Time) error {
	if f.left[k] == 0 {
		f.refill(now)
	}
	if f.left[k] == 0 {
		return allowances[k].err
	}
	f.left[k]--
	return nil
}

func (f *Flood) refill(now time.Time) {
	const longest, shortest = time.Minute, 50 * time.Millisecond
	passed := min(now.Sub(f.last), longest)
	if passed < shortest {
		return
	}
	f.last = now
	for k := range f.left {
		f.credit(drain(k), int32(int64(allowances[k].perSecond)*int64(passed)/int64(time.Second)))
	}
}
