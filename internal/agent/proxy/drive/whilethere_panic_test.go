package drive

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/agent/panics"
)

// A panic of looking at a client is for the goroutine that serves it: the context ends, and what was recovered is raised there.
func TestAPanicOfACheckIsTheOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWhileThere(looked(func() bool { panic("as the test asks") }), time.Time{}, context.DeadlineExceeded)
		w.Raise() // nothing yet
		child, cancel := context.WithCancel(w)
		defer cancel()
		<-child.Done()
		w.Stop()
		if !w.Left() {
			t.Errorf("it ended with %v", w.Err())
		}
		defer func() {
			what, stack := panics.Cause(recover())
			if what != "as the test asks" || !strings.Contains(string(stack), "drive.(*WhileThere).look") {
				t.Errorf("got %v on %s", what, stack)
			}
		}()
		w.Raise()
		t.Error("it was not raised")
	})
}
