package http2

// SendWindow is how much may be sent on a stream or a connection. It may be negative (RFC 9113 section 6.9.2).
type SendWindow struct {
	left int64
}

// Init sets the window's initial size.
func (w *SendWindow) Init(size uint32) { w.left = int64(size) }

// Available is how many bytes may be sent now.
func (w *SendWindow) Available() int { return int(max(w.left, 0)) }

// Take notes that n bytes, no more than are available, are sent.
func (w *SendWindow) Take(n int) { w.left -= int64(n) }

// Add takes in a WINDOW_UPDATE. Its false means that the window has grown beyond MaxWindow: ErrWindowOverflow for a connection,
// ErrStreamWindowOverflow for a stream.
func (w *SendWindow) Add(increment uint32) (ok bool) {
	w.left += int64(increment)
	return w.left <= MaxWindow
}

// Shift takes in Change.Window, for streams only. Its false means ErrWindowOverflow.
func (w *SendWindow) Shift(delta int64) (ok bool) {
	w.left += delta
	return w.left <= MaxWindow
}

// ReceiveWindow is how much the peer may send on a stream or a connection. What was received is given back as it is consumed, in
// WINDOW_UPDATEs of at least half of the size: one for each byte read would cost more than the data.
type ReceiveWindow struct {
	size int64 // the peer may have this much sent and not consumed
	left int64 // the peer may send this much now
	owed int64 // consumed and not yet given back
}

// Init sets the size as the peer knows it.
func (w *ReceiveWindow) Init(size uint32) { *w = ReceiveWindow{size: int64(size), left: int64(size)} }

// Receive notes that the peer sent n bytes, padding included. Its false means that the peer must not have: ErrWindowExceeded for a
// connection, ErrStreamWindowExceeded for a stream.
func (w *ReceiveWindow) Receive(n uint32) (ok bool) {
	w.left -= int64(n)
	return w.left >= 0
}

// Consume notes that n received bytes have been passed on, or thrown away, and returns the increment of the WINDOW_UPDATE that is to
// be sent now, or 0.
func (w *ReceiveWindow) Consume(n uint32) (increment uint32) {
	w.owed += int64(n)
	if w.owed <= 0 || 2*w.owed < w.size {
		return 0
	}
	return w.give()
}

// Flush returns the increment of a WINDOW_UPDATE that gives back all that was consumed, or 0.
func (w *ReceiveWindow) Flush() (increment uint32) {
	if w.owed <= 0 {
		return 0
	}
	return w.give()
}

// Grow makes the window larger, up to size, without waiting for consumption: the returned increment is to be sent now. A smaller size
// only takes effect as what was consumed is not given back.
func (w *ReceiveWindow) Grow(size uint32) (increment uint32) {
	w.owed += int64(size) - w.size
	w.size = int64(size)
	return w.Flush()
}

// Shift takes in that the peer has acknowledged our new initial size, for streams only: the peer has changed its window itself.
func (w *ReceiveWindow) Shift(delta int64) {
	w.size += delta
	w.left += delta
}

// Size is how much the peer may have sent that was not consumed.
func (w *ReceiveWindow) Size() uint32 { return uint32(w.size) }

// Held is how much was received and not yet given back.
func (w *ReceiveWindow) Held() int { return int(max(w.size-w.left, 0)) }

func (w *ReceiveWindow) give() uint32 {
	n := min(w.owed, MaxWindow-max(w.left, 0))
	w.owed -= n
	w.left += n
	return uint32(n)
}
