package drive

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The watch looks as long as the dial takes, and cancels it when the client has gone.
func TestRule04_TheWatchCancelsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		looks := 0
		began := time.Now()
		w := WatchClient(func() bool { looks++; return looks == 3 }, cancel)
		<-ctx.Done()
		w.Stop()
		if took := time.Since(began); took != 3*FirstCheck || !w.Left() {
			t.Errorf("after %v, left %v", took, w.Left())
		}
	})
}

// A watch that is stopped in the middle of a look must not look again: the connection is another's by then.
func TestAWatchStoppedDuringACheckEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		looking, stopped := make(chan struct{}), make(chan struct{})
		w := WatchClient(func() bool {
			if looks++; looks == 1 {
				close(looking)
				<-stopped
			}
			return false
		}, func() {})
		<-looking
		w.Stop()
		close(stopped)
		time.Sleep(10 * FirstCheck) // of the bubble's clock
		if looks != 1 {
			t.Errorf("looked %d times", looks)
		}
	})
}
