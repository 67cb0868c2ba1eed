package capture_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"fairlead.dev/fairlead/internal/agent/capture/mechanism"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
)

// fakeMechanism redirects nothing; it counts and does what the test says.
type fakeMechanism struct {
	make func(*netns.Namespace) mechanism.Attachment
}

func (f *fakeMechanism) new(mechanism.Settings) (mechanism.Interface, error) { return f, nil }

func (f *fakeMechanism) Attach(ns *netns.Namespace) (mechanism.Attachment, error) {
	if f.make == nil {
		return &fakeAttachment{}, nil
	}
	return f.make(ns), nil
}

func (f *fakeMechanism) Heartbeat() mechanism.Heartbeat { return mechanism.Heartbeat{} }

// fakeAttachment says yes to everything but what the test overrides.
type fakeAttachment struct {
	quic   atomic.Uint64 // flows
	renew  func() error
	leased func() (bool, error)
	busy   func() (int, error)

	removed, installed, renewed, looked atomic.Int64 // count Remove, Install, Renew, and the looks into the kernel

	damaged atomic.Bool // what Intact denies, and Renew reports until then
	known   atomic.Bool // that it is

	mu      sync.Mutex
	install error   // what Install says
	fails   []error // what TakeOver says, one after the other
	taken   int     // counts TakeOver
}

func (f *fakeAttachment) Found() (uint16, error) { return 0, nil }

func (f *fakeAttachment) Install(mechanism.Intent) error {
	f.installed.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.install == nil {
		f.damaged.Store(false)
	}
	return f.install
}

func (f *fakeAttachment) TakeOver(mechanism.Intent) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken++
	if len(f.fails) > 0 {
		err := f.fails[0]
		f.fails = f.fails[1:]
		return err
	}
	f.damaged.Store(false)
	return nil
}

func (f *fakeAttachment) takeovers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}

func (f *fakeAttachment) Intact() (bool, error) {
	f.looked.Add(1)
	f.known.Store(f.damaged.Load())
	return !f.damaged.Load(), nil
}

func (f *fakeAttachment) Foreign() ([]string, error) {
	f.looked.Add(1)
	return nil, nil
}

func (f *fakeAttachment) QUIC() (uint64, error) { return f.quic.Load(), nil }

func (f *fakeAttachment) Restore([]mechanism.Connection) (int, error) { return 0, nil }

func (f *fakeAttachment) Renew(mechanism.Connection) (mechanism.Health, error) {
	f.renewed.Add(1)
	h := mechanism.Health{Disturbed: f.damaged.Load() && !f.known.Load()}
	if f.renew == nil {
		return h, nil
	}
	return h, f.renew()
}

func (f *fakeAttachment) Leased() (bool, error) {
	if f.leased == nil {
		return false, nil
	}
	return f.leased()
}

func (f *fakeAttachment) Busy() (int, error) {
	if f.busy == nil {
		return 0, nil
	}
	return f.busy()
}

func (f *fakeAttachment) Remove() error {
	f.removed.Add(1)
	return nil
}

func (f *fakeAttachment) Yield() error        { return nil }
func (f *fakeAttachment) StopRedirect() error { return nil }
func (f *fakeAttachment) Close() error        { return nil }

func (f *fakeAttachment) Original(_ syscall.Conn, at netip.AddrPort) (netip.AddrPort, error) {
	return at, nil
}

func (f *fakeAttachment) ClientSocket(c mechanism.Connection) (local, remote netip.AddrPort) {
	return c.From, c.To
}
