package drive

import (
	"testing"
	"testing/synctest"
	"time"
)

// Looking costs more than asking a socket, so it is done ever more seldom, and no more once the client has gone.
func TestAHalfClosedClientIsCheckedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h half
		asked, open := 0, true
		ask := func() (bool, bool) { asked++; return open, true }
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(10 * time.Millisecond) {
			if h.gone(time.Now(), ask) {
				t.Fatal("gone")
			}
		}
		if asked < 30 || asked > 36 {
			t.Errorf("asked %d times in a minute", asked)
		}
		open = false
		time.Sleep(maxAsk)
		before := asked
		if !h.gone(time.Now(), ask) || !h.gone(time.Now().Add(time.Hour), ask) || asked != before+1 {
			t.Errorf("asked %d times more, left %v", asked-before, h.left)
		}
	})
}
