package tunnel

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// TestSplicingSaysWhoseTimeIsUp: much is waiting, and the time to read it has passed while the destination took nothing.
func TestSplicingSaysWhoseTimeIsUp(t *testing.T) {
	const much = 8 * chunk
	for name, tc := range map[string]struct {
		source, destination time.Time
		want                Side
	}{
		"the source's":      {source: time.Unix(1, 0), want: Source},
		"the destination's": {destination: time.Unix(1, 0), want: Destination},
		"both":              {source: time.Unix(1, 0), destination: time.Unix(1, 0), want: Destination},
	} {
		t.Run(name, func(t *testing.T) {
			from, src := pair(t)
			dst, to := pair(t)
			m, err := NewMover(src)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, to) }()
			if _, err := from.Write(make([]byte, much)); err != nil {
				t.Fatal(err)
			}
			for m.waiting = 0; m.waiting < 2*chunk; { // a new connection takes no more than some of it unread
				if err := m.raw.Control(m.avail); err != nil {
					t.Fatal(err)
				}
			}
			m.bulk = true
			if err := errors.Join(src.SetReadDeadline(tc.source), dst.SetWriteDeadline(tc.destination)); err != nil {
				t.Fatal(err)
			}
			n, side, err := m.Move(dst, much)
			if !errors.Is(err, os.ErrDeadlineExceeded) || side != tc.want {
				t.Fatalf("%d moved, side %d, %v, want side %d", n, side, err, tc.want)
			}
			if tc.want == Destination {
				return
			}
			if err := src.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			for total := n; total < much; total += n {
				if n, side, err = m.Move(dst, much-total); err != nil {
					t.Fatalf("going on: side %d, %v after %d of %d", side, err, total, much)
				}
			}
		})
	}
}
