package h1

import (
	"runtime"
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

// Nobody knows the state of an exchange in which a panic happened.
func TestAnExchangeThatPanickedIsNotUsedAgain(t *testing.T) {
	t.Setenv("ALONE", "1") // panics in a test that runs beside others: the number of processors is the whole process's
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	s := &Session{driver: New(Options{}), client: &drive.Client{Share: &drive.PodShare{}}}
	s.begin()
	bad := s.x
	s.ReleaseAfterPanic()
	for range 10 {
		if s.driver.exchanges.Get() == bad {
			t.Fatal("it is back in the pool")
		}
	}
}
