package h2

import (
	"io"
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

// A server may read a request and end its connection before who has written the request hears of that: then the request has been sent, and a POST is
// not made again.
func TestWhatIsBeingWrittenMayHaveBeenSent(t *testing.T) {
	u := New(Options{}).bareServer(t)
	o := &u.out
	release, done := o.held(t, false)
	u.stop(io.EOF) // the reader has found the end
	if !reachedNow(o, 0) {
		t.Error("what the kernel is being given is held to be unsent")
	}
	o.mu.Lock()
	behind := o.appended
	o.mu.Unlock()
	o.say() // what comes behind that is never written
	if reachedNow(o, behind) {
		t.Error("what nobody has written is held to be sent")
	}
	close(release)
	<-done
}

func reachedNow(o *output, offset uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reached(offset)
}
