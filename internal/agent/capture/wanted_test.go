package capture_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/policy"
)

// Every pod that policies select is listed, whatever has become of it, and so is one that they select no more while it has connections.
func TestEveryPodThatIsWantedIsListed(t *testing.T) {
	netnstest.Privileged(t)
	host := netnstest.Host(t)
	good, bad := netnstest.New(t, host), netnstest.New(t, host)
	opened, err := host.Open(bad.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	m := &fakeMechanism{make: func(ns *netns.Namespace) mechanism.Attachment {
		if ns.ID() == opened.ID() {
			return &fakeAttachment{fails: []error{os.NewSyscallError("send", unix.EOPNOTSUPP)}, install: unix.EOPNOTSUPP}
		}
		return &fakeAttachment{}
	}}
	at := newSandboxes()
	at.set(func(now map[string]pods.Sandbox) {
		now["good"], now["bad"] = sandbox("good", good.Path), sandbox("bad", bad.Path)
		now["host"] = pods.Sandbox{Pod: ref("host"), ID: "host", Host: true}
		now["odd"] = pods.Sandbox{Pod: ref("odd"), ID: "odd", Err: pods.ErrNoNamespace}
		now["unwanted"] = sandbox("unwanted", good.Path)
	})
	b := run(t, host, at, func(o *capture.Options) { o.Mechanism = m.new })
	desired := map[string]capture.PodSpec{}
	for _, uid := range []string{"good", "bad", "host", "odd", "pending"} {
		s := spec(uid, everything)
		s.Policies = []policy.ID{{Namespace: "shop", Name: "p"}}
		desired[uid] = s
	}
	before := time.Now()
	b.Reconcile(desired)
	if err := b.AwaitReached(t.Context()); err != nil {
		t.Fatal(err)
	}
	netnstest.Eventually(t, 3*time.Second, "the pod that no policy selects has been looked into", func() bool { return len(b.State()) == 2 })
	type standing struct {
		found, captured bool
		reason          string
	}
	want := map[string]standing{
		"good": {found: true, captured: true}, "bad": {found: true, reason: capture.ReasonRules}, "host": {found: true, reason: capture.ReasonHostNetwork},
		"odd": {found: true, reason: capture.ReasonNamespace}, "pending": {},
	}
	all := b.Wanted()
	if len(all) != len(want) {
		t.Errorf("%d pods are listed: %+v", len(all), all)
	}
	for i, s := range all {
		if got := (standing{s.Found, s.Captured, s.Reason}); got != want[s.Pod.UID] || !s.Wanted || len(s.Policies) != 1 || (s.Problem == "") != (s.Reason == "") {
			t.Errorf("%s: %+v, want %+v", s.Pod.UID, s, want[s.Pod.UID])
		}
		if s.Captured == s.Since.Before(before) {
			t.Errorf("%s: captured %t since %s", s.Pod.UID, s.Captured, s.Since)
		}
		if i > 0 && all[i-1].Pod.Name >= s.Pod.Name {
			t.Errorf("%s comes after %s", s.Pod.Name, all[i-1].Pod.Name)
		}
	}
}
