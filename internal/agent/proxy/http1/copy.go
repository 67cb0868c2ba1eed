package http1

import (
	"io"

	"fairlead.dev/fairlead/internal/agent/transport"
)

const (
	// spliceFrom is the smallest known remainder for which setting up a splice pays.
	spliceFrom = 64 << 10
	// splicePiece is how much is spliced before Tap.Progress is called again.
	splicePiece = 256 << 10
)

// Tap listens in on a body while it is copied.
type Tap interface {
	// Append sees the bytes that are about to be sent; it copies what it keeps. When it returns false it will not be called
	// again for this copy.
	Append(p []byte) (more bool)
}

// Copying says how a body is copied.
type Copying struct {
	// Tap, if not nil, sees every byte before it is written.
	Tap Tap
	// Progress, if not nil, is called after each piece written, so that deadlines can be moved.
	Progress func()
}

// Copied is how a copy went: which side failed, if one did. Both are nil when the whole body was written.
type Copied struct {
	// Bytes were accepted by the destination.
	Bytes int64
	// Read is the error of the side that the body came from.
	Read error
	// Write is the error of the side that it went to.
	Write error
}

// CopyTo copies the rest of the body to w. Between two plain connections large remainders without a Tap are moved by the kernel
// (splice). After a timeout in reading it can be called again to go on: nothing is lost then.
func (b *Body) CopyTo(w io.Writer, c Copying) (done Copied) {
	for {
		if c.Tap == nil && b.spliceable() {
			if to := connOf(w); to != nil && to.Plain() {
				b.splice(to, c.Progress, &done)
				return done
			}
		}
		p, err := b.Next()
		if err != nil {
			if err != io.EOF { //nolint:errorlint // Next returns io.EOF itself
				done.Read = err
			}
			return done
		}
		if c.Tap != nil && !c.Tap.Append(p) {
			c.Tap = nil
		}
		n, err := w.Write(p)
		done.Bytes += int64(n)
		if err != nil {
			done.Write = err
			return done
		}
		if c.Progress != nil {
			c.Progress()
		}
	}
}

// spliceable reports whether the kernel can move what is left, and whether that pays: much is known to come, or comes fast.
func (b *Body) spliceable() bool {
	if b.r.pos < b.r.end || !(b.framing == UntilClose && b.r.full || b.framing == ContentLength && b.left >= spliceFrom) {
		return false
	}
	from := connOf(b.r.src)
	if from == nil || !from.Plain() {
		return false
	}
	if b.r.mover == nil {
		b.r.mover = new(transport.Mover)
		b.r.mover.Init(from)
	}
	return true
}

// splice lets the kernel move the rest of the body. Nothing is lost by a timeout of the source, so that the caller can go on.
func (b *Body) splice(to *transport.Conn, progress func(), done *Copied) {
	for b.framing != NoBody {
		limit := int64(splicePiece)
		if b.framing == ContentLength {
			limit = min(limit, b.left)
		}
		n, side, err := b.r.mover.Move(to, limit)
		done.Bytes += n
		b.Bytes += n
		if b.framing == ContentLength {
			b.left -= n
			if b.left == 0 {
				b.framing = NoBody
			}
		}
		switch {
		case err == nil:
		case side == transport.Destination:
			done.Write = err
			return
		default:
			if err = b.ended(err); err != io.EOF { //nolint:errorlint // ended returns io.EOF itself
				done.Read = err
			}
			return
		}
		if progress != nil {
			progress()
		}
	}
}
