package h2

import (
	"runtime"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

// held has the next write of o begin, and returns what lets it go on, and what tells that whoever began it is done.
func (o *output) held(t *testing.T, panics bool) (release chan<- struct{}, done <-chan struct{}) {
	t.Helper()
	begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	o.try = func() {
		o.try = o.write
		close(begun)
		<-goOn
		if panics {
			panic("as the test asks")
		}
		o.write()
	}
	o.say()
	go func() {
		defer close(ended)
		defer func() { _ = recover() }()
		o.flush()
	}()
	<-begun
	return goOn, ended
}

// say appends something.
func (o *output) say() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(http2.AppendPing(o.buffer(), [8]byte{}))
}

// whenAwaited closes release as soon as somebody awaits the writer.
func (o *output) whenAwaited(release chan<- struct{}) {
	awaited := func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.paused != nil
	}
	for !awaited() {
		runtime.Gosched()
	}
	close(release)
}

// What is appended while somebody else writes is written by who writes: a connection is closed behind that, or its last words would be lost.
func TestTheLastWordsAreAwaited(t *testing.T) {
	for name, panics := range map[string]bool{"writes": false, "panics": true} {
		t.Run(name, func(t *testing.T) {
			u := New(Options{}).bareServer(t)
			o := &u.out
			o.await() // nobody writes
			release, done := o.held(t, panics)
			o.say()
			o.flush()
			go o.whenAwaited(release)
			o.await()
			o.mu.Lock()
			if all := o.sent == o.appended; all == panics {
				t.Errorf("%d bytes of %d were written", o.sent, o.appended)
			}
			o.mu.Unlock()
			<-done
			o.await() // nobody writes any more
		})
	}
}
