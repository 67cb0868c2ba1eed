package capture_test

import (
	"maps"
	"sync"

	"fairlead.dev/fairlead/internal/agent/capture"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
)

// fakeSandboxes says where pods are.
type fakeSandboxes struct {
	changed chan struct{}

	mu    sync.Mutex
	now   map[string]pods.Sandbox
	hurry int
}

func newSandboxes() *fakeSandboxes {
	return &fakeSandboxes{changed: make(chan struct{}, 1), now: map[string]pods.Sandbox{}}
}

func (f *fakeSandboxes) Sandboxes() (map[string]pods.Sandbox, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, true
}

func (f *fakeSandboxes) Changed() <-chan struct{} { return f.changed }

func (f *fakeSandboxes) Hurry() { f.mu.Lock(); f.hurry++; f.mu.Unlock() }

func (f *fakeSandboxes) set(change func(map[string]pods.Sandbox)) {
	f.mu.Lock()
	next := maps.Clone(f.now)
	change(next)
	f.now = next
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *fakeSandboxes) run(uid, sandbox, path string) {
	f.set(func(now map[string]pods.Sandbox) {
		now[uid] = pods.Sandbox{Pod: ref(uid), ID: sandbox, NetNS: path}
	})
}

func sandbox(uid, path string) pods.Sandbox { return pods.Sandbox{Pod: ref(uid), ID: uid, NetNS: path} }

func (f *fakeSandboxes) end(uid string) {
	f.set(func(now map[string]pods.Sandbox) { delete(now, uid) })
}

func ref(uid string) capture.PodRef {
	return capture.PodRef{UID: uid, Namespace: "shop", Name: "pod-" + uid}
}
