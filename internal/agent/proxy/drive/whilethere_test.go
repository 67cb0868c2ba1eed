package drive

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// looked is a client of which is known when it is looked at.
type looked func() bool

func (f looked) Left() bool { return f() }

var stays = looked(func() bool { return false })

// The context ends when the client has gone, and all who wait for it learn that.
func TestRule04_WhatIsDoneForAClientEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, called := 0, make(chan struct{})
		began := time.Now()
		w := NewWhileThere(looked(func() bool { looks++; return looks == 3 }), time.Time{}, context.DeadlineExceeded)
		defer w.Stop()
		child, cancel := context.WithTimeout(w, 2*time.Hour)
		defer cancel()
		unwanted := context.AfterFunc(w, func() { t.Error("called though it was stopped") })
		context.AfterFunc(w, func() { close(called) })
		if !unwanted() || unwanted() {
			t.Error("it was not stopped once")
		}
		<-w.Done()
		<-called
		<-child.Done()
		if took := time.Since(began); took != 3*FirstCheck {
			t.Errorf("after %v", took)
		}
		if !w.Left() || w.Err() != context.Canceled || child.Err() != context.Canceled {
			t.Errorf("ended with %v, what is derived of it with %v", w.Err(), child.Err())
		}
		late := make(chan struct{})
		stop := context.AfterFunc(w, func() { close(late) })
		<-late
		if stop() {
			t.Error("what was called can be stopped")
		}
	})
}

// It ends at its time, be that before the first check, between two, or at one.
func TestWhatIsDoneForAClientEndsAtItsTime(t *testing.T) {
	for _, while := range []time.Duration{time.Millisecond, FirstCheck, 2*FirstCheck + time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			late := fmt.Errorf("so late: %w", context.DeadlineExceeded)
			w := NewWhileThere(stays, began.Add(while), late)
			defer w.Stop()
			if until, ok := w.Deadline(); !ok || until != began.Add(while) {
				t.Errorf("until %v, %t", until, ok)
			}
			child, cancel := context.WithCancel(w)
			defer cancel()
			<-child.Done()
			if took := time.Since(began); took != while || w.Left() {
				t.Errorf("after %v, want %v; the client has gone: %t", took, while, w.Left())
			}
			if w.Err() != late || context.Cause(child) != late {
				t.Errorf("ended with %v, what is derived of it with %v", w.Err(), context.Cause(child))
			}
		})
	}
}

// After Stop nothing is looked at, though a check is under way: the connection may be another's by then.
func TestWhatWasDoneForAClientIsNotChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		looking, stopped := make(chan struct{}), make(chan struct{})
		w := NewWhileThere(looked(func() bool {
			if looks++; looks == 1 {
				close(looking)
				<-stopped
			}
			return true
		}), time.Time{}, context.DeadlineExceeded)
		<-looking
		w.Stop()
		close(stopped)
		time.Sleep(10 * FirstCheck) // of the bubble's clock
		if looks != 1 || w.Err() != nil {
			t.Errorf("looked %d times, ended with %v", looks, w.Err())
		}
	})
}
