package ask

import "time"

// GiveUpAfter has streams fail that say nothing for so long.
func (a *Asker) GiveUpAfter(d time.Duration) { a.silence = d }
