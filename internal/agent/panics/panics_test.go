package panics

import (
	"strings"
	"testing"
)

func fail() { panic("as the test asks") }

// A panic of another goroutine arrives with the stack that it happened on.
func TestAPanicIsCarried(t *testing.T) {
	var c Carrier
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.Catch()
		fail()
	}()
	<-done
	defer func() {
		what, stack := Cause(recover())
		if what != "as the test asks" || !strings.Contains(string(stack), "panics.fail") {
			t.Errorf("got %v on %s", what, stack)
		}
	}()
	c.Raise()
	t.Error("it did not arrive")
}

func TestNoPanicIsNone(t *testing.T) {
	var c Carrier
	func() { defer c.Catch() }()
	c.Raise()
}

// A panic that was not carried has the stack of whoever recovers.
func TestAPanicOfItsOwnHasItsCause(t *testing.T) {
	defer func() {
		what, stack := Cause(recover())
		if what != "as the test asks" || !strings.Contains(string(stack), "panics.fail") {
			t.Errorf("got %v on %s", what, stack)
		}
	}()
	fail()
}
