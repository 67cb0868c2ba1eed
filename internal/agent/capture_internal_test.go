package agent

import (
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// TestADrainIsAsLongAsItIsSaidToBe: what is cut before its time is a failure of the agent's making.
func TestADrainIsAsLongAsItIsSaidToBe(t *testing.T) {
	netnstest.Privileged(t)
	for drain, want := range map[time.Duration]time.Duration{0: DefaultDrain, 90 * time.Minute: 90 * time.Minute} {
		dir := t.TempDir()
		a, err := New(Options{
			Node: "n", Manager: "manager:1", TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca"), StateDir: dir,
			CRISocket: filepath.Join(dir, "cri"), NetNSDir: dir, HTTPAddress: "127.0.0.1:0", Drain: drain, Log: slog.New(slog.DiscardHandler),
			AccessLog: t.Output(),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := time.Duration(reflect.ValueOf(a.capture).Elem().FieldByName("options").FieldByName("Grace").Int())
		a.closeHost()
		if got != want {
			t.Errorf("a drain of %s: connections are cut after %s, want %s", drain, got, want)
		}
	}
}
