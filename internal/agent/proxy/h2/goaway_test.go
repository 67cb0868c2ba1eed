package h2

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

// A connection is idle, and may be closed as such, once its client's kernel has taken everything, and not when the last of it was appended.
func TestAConnectionIsIdleOnceEverythingIsWritten(t *testing.T) {
	s := New(Options{}).bare(t)
	s.client.Activity.Set(drive.Busy)
	s.out.appended = 100
	var b batch
	s.rested(&b)
	if got := s.client.Activity.State(); got != drive.Busy {
		t.Errorf("state %v while something waits to be written", got)
	}
	s.out.sent = 100
	s.written(true)
	if got := s.client.Activity.State(); got != drive.Idle {
		t.Errorf("state %v when everything is written", got)
	}
}

// A connection that has ended stays as long as its client goes on taking what waits for it, and a while behind that.
func TestAConnectionThatHasEndedStaysUntilItsClientHasEverything(t *testing.T) {
	s := New(Options{}).bare(t)
	s.over = true // no timer is set
	s.opened, s.leaving = true, said
	s.out.appended = 100
	var b batch
	s.rested(&b)
	wait := func(d time.Duration) bool {
		s.now = s.now.Add(d)
		s.periodic()
		return s.client.Conn.Interrupted()
	}
	for s.out.sent = 10; s.out.sent < 100; s.out.sent += 10 {
		if wait(stalledWithin) {
			t.Fatalf("it was closed after %d of %d bytes", s.out.sent, s.out.appended)
		}
	}
	s.written(false)
	switch {
	case wait(closeWithin / 2):
		t.Error("the client was given no time to close it")
	case !wait(closeWithin):
		t.Error("it stays although the client has everything")
	}
}

func TestAConnectionThatHasEndedIsClosedWhoseClientTakesNothing(t *testing.T) {
	s := New(Options{}).bare(t)
	s.over = true
	s.opened, s.leaving = true, said
	s.out.appended, s.out.sent = 100, 10
	var b batch
	s.rested(&b)
	s.now = s.now.Add(stalledWithin)
	if s.periodic(); !s.client.Conn.Interrupted() {
		t.Error("it stays")
	}
}
