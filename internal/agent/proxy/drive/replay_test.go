package drive

import (
	"bytes"
	"testing"

	"fairlead.dev/fairlead/internal/agent/resilience"
)

func pieces(r *Replay) (all []byte) {
	for i := range r.Pieces() {
		all = append(all, r.Piece(i)...)
	}
	return all
}

// What was sent is there again, whatever the pieces it was sent in, and its memory is given back in the end.
func TestRule18_WhatIsKeptIsWhatWasSent(t *testing.T) {
	memory := resilience.NewMemory(1 << 20)
	var r Replay
	r.Init(memory.Share())
	for range 2 { // it is used again
		r.Begin(100 << 10)
		r.Start(true)
		var sent []byte
		for i, n := range []int{0, 1, replayChunk, 3, 2*replayChunk - 4, 100} {
			p := bytes.Repeat([]byte{byte('a' + i)}, n)
			r.Keep(p)
			sent = append(sent, p...)
		}
		if got := pieces(&r); !bytes.Equal(got, sent) || r.Lost() {
			t.Fatalf("%d bytes of %d are kept, lost: %v", len(got), len(sent), r.Lost())
		}
		if memory.Used() < int64(len(sent)) {
			t.Errorf("%d bytes are accounted for, %d kept", memory.Used(), len(sent))
		}
		r.Release()
		if memory.Used() != 0 || r.Pieces() != 0 {
			t.Errorf("%d bytes are still accounted for", memory.Used())
		}
	}
}

// A body of which a part is missing is never sent again.
func TestRule18_ABodyThatIsNotKeptWholeIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		memory, limit int64
		start         bool
	}{
		"larger than the policy keeps": {1 << 20, 10, true},
		"no memory left":               {replayChunk - 1, 1 << 20, true},
		"not asked for":                {1 << 20, 1 << 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			memory := resilience.NewMemory(tc.memory)
			var r Replay
			r.Init(memory.Share())
			r.Begin(tc.limit)
			r.Start(tc.start)
			r.Keep(nil)
			if r.Lost() {
				t.Error("nothing was sent and something lost")
			}
			r.Keep(make([]byte, 11))
			r.Start(true)
			r.Keep(make([]byte, 1))
			if !r.Lost() || r.Limit() != tc.limit {
				t.Error("it is not lost")
			}
			r.Release()
			if memory.Used() != 0 {
				t.Errorf("%d bytes are still accounted for", memory.Used())
			}
		})
	}
}
