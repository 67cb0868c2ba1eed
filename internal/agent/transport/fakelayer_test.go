package transport

import (
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
)

// fakeLayer seals bytes as a security protocol does: in frames, of which a part says nothing until the rest has come, with some that
// carry nothing for the user, and a last one that says that nothing follows.
type fakeLayer struct {
	raw Raw

	sealed []byte // received and not yet opened
	opened []byte
	ended  bool
	// fills counts the times that the socket was asked.
	fills int

	out     []byte // sealed and not yet sent
	pending int    // how many bytes of the user's out holds
	info    Info
	left    atomic.Int32
	// announces: it says that it leaves.
	announces bool
}

const (
	frameHead = 2
	maxFrame  = 1000
	noise     = 0x80 // in the first byte of the head: nothing for the user
)

func newFakeLayer(c *Conn) *fakeLayer { return &fakeLayer{raw: c.Raw()} }

var _ Layer = (*fakeLayer)(nil)

func (f *fakeLayer) Info() Info { return f.info }

func (f *fakeLayer) TryRead(p []byte) (n int, err error) {
	for n < len(p) {
		if err = f.fill(); err != nil {
			break
		}
		took := copy(p[n:], f.opened)
		f.opened = f.opened[took:]
		n += took
	}
	if n > 0 {
		return n, nil // an error comes again
	}
	return 0, err
}

func (f *fakeLayer) Peek(n int) ([]byte, error) {
	if err := f.fill(); err != nil {
		return nil, err
	}
	return f.opened[:min(n, len(f.opened))], nil
}

func (f *fakeLayer) Leave() {
	if f.left.Add(1); f.announces {
		_, _ = f.raw.TryWrite([]byte("bye"))
	}
}

func (f *fakeLayer) fill() error {
	for len(f.opened) == 0 {
		if f.ended {
			return io.EOF
		}
		if f.open() {
			continue
		}
		in := make([]byte, 300)
		n, err := f.raw.TryRead(in)
		f.fills++
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		f.sealed = append(f.sealed, in[:n]...)
	}
	return nil
}

// open opens one frame if it is there.
func (f *fakeLayer) open() bool {
	if len(f.sealed) < frameHead {
		return false
	}
	n := int(f.sealed[0]&^noise)<<8 | int(f.sealed[1])
	if len(f.sealed) < frameHead+n {
		return false
	}
	body := xor(f.sealed[frameHead : frameHead+n])
	switch {
	case f.sealed[0]&noise != 0:
	case n == 0:
		f.ended = true
	default:
		f.opened = body
	}
	f.sealed = f.sealed[frameHead+n:]
	return true
}

func xor(p []byte) []byte {
	q := make([]byte, len(p))
	for i := range p {
		q[i] = p[i] ^ 0x5a
	}
	return q
}

func seal(kind byte, p []byte) []byte {
	head := binary.BigEndian.AppendUint16(nil, uint16(len(p)))
	head[0] |= kind
	return append(head, xor(p)...)
}

func (f *fakeLayer) TryWrite(p []byte) (int, error) {
	for done := 0; ; {
		if err := f.flush(); err != nil || len(f.out) > 0 {
			return done, err
		}
		done += f.pending
		f.pending = 0
		if done == len(p) {
			return done, nil
		}
		next := p[done:min(len(p), done+maxFrame)]
		f.out, f.pending = seal(0, next), len(next)
	}
}

func (f *fakeLayer) flush() error {
	n, err := f.raw.TryWrite(f.out)
	f.out = f.out[n:]
	return err
}

func (f *fakeLayer) CloseWrite() error {
	f.out = append(f.out, seal(0, nil)...)
	return errors.Join(f.flush(), f.raw.CloseWrite())
}
