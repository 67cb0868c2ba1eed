package main

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is the program itself where the story starts it again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "run" || os.Args[1] == "shop") {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// What make try shows is what it says: all reads are answered under the policy, and no order is carried out twice.
func TestTheStoryIsTrue(t *testing.T) {
	var out strings.Builder
	if err := story(&out, "policy.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"210 of 300 reads and 90 of 100 orders were answered; 0 orders were carried out twice.",
		"300 of 300 reads and 100 of 100 orders were answered; 11 orders were carried out twice.",
		"300 of 300 reads and 90 of 100 orders were answered; 0 orders were carried out twice.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
