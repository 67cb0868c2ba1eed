package h2

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
	"fairlead.dev/fairlead/internal/agent/proxy/turns"
	"fairlead.dev/fairlead/internal/agent/transport/transporttest"
)

// Connections of a pod that wait for its turn hold no buffer: there may be thousands of them, and each buffer has 64 KiB.
func TestConnectionsThatWaitForATurnHoldNoBuffer(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector a pool forgets some of what it is given back")
	}
	var all turns.Turns
	if err := all.Init(); err != nil {
		t.Fatal(err)
	}
	flooding, other := all.Pod(), all.Pod()
	defer flooding.Leave()
	defer other.Leave()
	var made atomic.Int64
	before := readBuffers.New
	readBuffers.New = func() any { made.Add(1); return before() }
	defer func() { readBuffers.New = before }()

	const connections = 400
	var reading sync.WaitGroup
	begin := make(chan struct{})
	for range connections {
		near, far := transporttest.Pair(t)
		if _, err := far.Write([]byte("some")); err != nil {
			t.Fatal(err)
		}
		_ = far.Close()
		reading.Go(func() {
			var parser http2.Parser
			in := input{turns: flooding}
			in.init(near, &parser, time.Minute, func(b []byte) (int, error) { return len(b), nil })
			<-begin
			_ = in.serve(time.Now(), time.Time{})
		})
	}
	close(begin)
	reading.Wait()
	if n := made.Load(); n > connections/10 {
		t.Errorf("%d buffers were made for %d connections", n, connections)
	}
}
