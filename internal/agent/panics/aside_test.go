package panics

import (
	"strings"
	"testing"
)

// What is run aside has ended when Aside returns, and its panic is the caller's, with the stack that it happened on; others that are run
// aside later know nothing of it.
func TestAside(t *testing.T) {
	for range 3 {
		ran := false
		Aside(func() { ran = true })
		if !ran {
			t.Fatal("it has not ended")
		}
		func() {
			defer func() {
				what, stack := Cause(recover())
				if what != "as the test asks" || !strings.Contains(string(stack), "panics.fail") {
					t.Errorf("got %v on %s", what, stack)
				}
			}()
			Aside(fail)
			t.Error("the panic did not arrive")
		}()
	}
}

func TestAsideAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Aside(func() {}) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
