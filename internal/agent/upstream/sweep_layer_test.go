package upstream

import (
	"errors"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/transport"
)

// aloneLayer is a security layer that must not be read while its connection is idle: whoever takes the connection reads it too.
type aloneLayer struct {
	transport.Layer
	t *testing.T
}

func (l aloneLayer) TryRead([]byte) (int, error) {
	l.t.Error("a sweep has read from the layer")
	return 0, errors.ErrUnsupported
}

func (l aloneLayer) Peek(int) ([]byte, error) {
	l.t.Error("a sweep has looked into the layer")
	return nil, errors.ErrUnsupported
}

// Leave is called when the connection is closed.
func (l aloneLayer) Leave() {}

// A sweep leaves the layer of an idle connection alone, and closes the connection when its server has ended it.
func TestRule25_SweepsDoNotReadFromLayers(t *testing.T) {
	s := listen(t)
	p, d := newPool(t, nil, s.addr)
	l := take(t, p, request())
	l.Secure(aloneLayer{t: t})
	eventually(t, func() bool { return s.open.Load() == 1 })
	s.say(t, "a message of the layer")
	l.Release(time.Now(), true)
	p.sweep(time.Now())
	if got := p.Stats(); got.Idle != 1 {
		t.Errorf("stats %+v: a connection was closed for a message of its layer", got)
	}
	s.closeAll()
	eventually(t, func() bool { return l.Ending() != transport.Open })
	p.sweep(time.Now())
	if got := p.Stats(); got != (Stats{}) {
		t.Errorf("stats %+v: a connection is kept that its server has ended", got)
	}
	if d.dials.Load() != 1 {
		t.Errorf("%d dials", d.dials.Load())
	}
}
