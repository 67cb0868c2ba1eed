package machine

import (
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 158043 1000 10\n"
	got, err := parseStat(line)
	if want := (processStat{pid: 42, parent: 7, state: "S", start: 158043}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "42", "42 (x) S 7", "x (x) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 158043 1"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("parse %q: got %+v, want an error", bad, got)
		}
	}
}

func TestKillSparesWhoeverHasTheNumberNow(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	earlier := ProcessID{PID: id.PID, Start: id.Start - 1}
	if err := earlier.Kill(time.Second); err != nil || earlier.Alive() {
		t.Errorf("kill of one that had the number earlier: %v", err)
	}
	if !id.Alive() {
		t.Fatal("the process was killed in place of an earlier one")
	}
	if err := id.Kill(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the process ended by itself")
	}
	if id.Alive() {
		t.Error("the process is still alive")
	}
}
