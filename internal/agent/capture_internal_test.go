package agent

import (
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// unlimited is an account of memory that nobody limits.
type unlimited struct{}

func (unlimited) Usage() (used, limit int64, limited bool) { return 0, 0, false }

// made returns an agent that does not run.
func made(t *testing.T, drain time.Duration) *Agent {
	t.Helper()
	netnstest.Privileged(t)
	dir := t.TempDir()
	a, err := New(Options{
		Node: "n", Manager: "manager:1", TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca"), StateDir: dir,
		CRISocket: filepath.Join(dir, "cri"), NetNSDir: dir, HTTPAddress: "127.0.0.1:0", Drain: drain, Log: slog.New(slog.DiscardHandler),
		AccessLog: t.Output(), Memory: unlimited{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.closeHost)
	return a
}

// captureOption returns an option that the capture has.
func captureOption[T any](a *Agent, name string) T {
	f := reflect.ValueOf(a.capture).Elem().FieldByName("options").FieldByName(name)
	return reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().Interface().(T)
}

// TestADrainIsAsLongAsItIsSaidToBe: what is cut before its time is a failure of the agent's making.
func TestADrainIsAsLongAsItIsSaidToBe(t *testing.T) {
	for drain, want := range map[time.Duration]time.Duration{0: DefaultDrain, 90 * time.Minute: 90 * time.Minute} {
		if got := captureOption[time.Duration](made(t, drain), "Grace"); got != want {
			t.Errorf("a drain of %s: connections are cut after %s, want %s", drain, got, want)
		}
	}
}

// TestTheCaptureGoesByTheAgentsMemory: it lets connections pass before the agent runs out of it.
func TestTheCaptureGoesByTheAgentsMemory(t *testing.T) {
	options := reflect.ValueOf(made(t, 0).capture).Elem().FieldByName("options")
	if m := options.FieldByName("Memory"); m.IsNil() || m.Elem().Type() != reflect.TypeFor[unlimited]() {
		t.Errorf("the capture goes by %v", m)
	}
}

// TestConnectionsAreAcceptedInTheirPodsTurns: who floods the agent with new connections is held up with those too. The capture asks before each, and the proxy, which
// knows the pods' other steps, answers.
func TestConnectionsAreAcceptedInTheirPodsTurns(t *testing.T) {
	a := made(t, 0)
	pods := func() (uids []string) {
		for _, uid := range reflect.ValueOf(a.proxy).Elem().FieldByName("perPod").MapKeys() {
			uids = append(uids, uid.String())
		}
		return uids
	}
	rounds := func() uint64 {
		return reflect.ValueOf(a.proxy).Elem().FieldByName("turns").FieldByName("round").FieldByName("v").Uint()
	}
	listening := captureOption[func(capture.PodRef) (turn, done func())](a, "Listening")
	turn, done := listening(capture.PodRef{UID: "flooding"})
	_, otherDone := listening(capture.PodRef{UID: "quiet"})
	if got := pods(); len(got) != 2 {
		t.Fatalf("the proxy knows of the pods %v", got)
	}
	for before := rounds(); rounds() == before; { // with another pod beside it, one that goes on for long enough is to wait for a round
		turn()
	}
	done()
	if got := pods(); len(got) != 1 || got[0] != "quiet" {
		t.Errorf("the proxy knows of the pods %v, of which one has no listener any more", got)
	}
	otherDone()
}
