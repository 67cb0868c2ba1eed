package ca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const name = "fairlead-manager.fairlead-system.svc"

// memory is a Storage that replicas share.
type memory struct {
	mu         sync.Mutex // for Publish and published, which may run at once
	data       []byte
	revision   int
	bundle     []byte
	fail       error
	beforeSave func()
}

func (m *memory) Load(context.Context) ([]byte, string, error) {
	return m.data, fmt.Sprint(m.revision), m.fail
}

func (m *memory) Save(_ context.Context, data []byte, revision string) error {
	if hook := m.beforeSave; hook != nil {
		m.beforeSave = nil
		hook()
	}
	if revision != fmt.Sprint(m.revision) {
		return ErrConflict
	}
	m.data, m.revision = data, m.revision+1
	return nil
}

func (m *memory) Publish(_ context.Context, bundle []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bundle = bundle
	return m.fail
}

func (m *memory) published() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bundle
}

func newRenewer(t *testing.T, v Storage) *Renewer {
	t.Helper()
	k, err := New(Options{Storage: v, DNSNames: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// trusts reports whether somebody who read the bundle accepts what k serves.
func trusts(bundle []byte, k *Renewer, now time.Time) error {
	c, err := k.Certificate(nil)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return errors.New("empty bundle")
	}
	_, err = c.Leaf.Verify(x509.VerifyOptions{
		DNSName: name, Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// Over three years, with agents that read the bundle a day late and replicas that look at the Secret every so often, nobody
// ever meets a certificate it does not trust.
func TestWhoReadTheBundleAnHourAgoTrustsWhatIsServedNow(t *testing.T) {
	v := new(memory)
	replicas := []*Renewer{newRenewer(t, v), newRenewer(t, v)}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var readBefore, readLater []byte
	authorities := map[string]bool{}
	for step := range 3 * 365 * 4 {
		for _, k := range replicas[:1+step%2] {
			if err := k.Refresh(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
		if step == 0 {
			readBefore = v.bundle
		}
		for i, k := range replicas[:1+step%2] {
			for when, bundle := range map[string][]byte{"just now": v.bundle, "six hours ago": readBefore} {
				if err := trusts(bundle, k, now); err != nil {
					t.Fatalf("step %d, %s, replica %d: who read the bundle %s: %v", step, now, i, when, err)
				}
			}
			c, _ := k.Certificate(nil)
			authorities[string(c.Leaf.AuthorityKeyId)] = true
		}
		readLater, readBefore = v.bundle, readLater
		if readBefore == nil {
			readBefore = readLater
		}
		now = now.Add(6 * time.Hour)
	}
	if n := len(authorities); n < 3 || n > 5 {
		t.Errorf("%d authorities signed in three years", n)
	}
	as, err := Parse(v.data)
	if err != nil || len(as) > 2 {
		t.Errorf("%d authorities kept (%v), want at most 2", len(as), err)
	}
}

func TestAServingCertificateIsRenewedInTime(t *testing.T) {
	v := new(memory)
	k := newRenewer(t, v)
	if _, err := k.Certificate(nil); err == nil || k.Expires() != 0 {
		t.Error("a certificate before the first refresh")
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	issued := func(after time.Duration) *tls.Certificate {
		if err := k.Refresh(t.Context(), now.Add(after)); err != nil {
			t.Fatal(err)
		}
		c, err := k.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := issued(0)
	if issued(15*time.Hour) != first {
		t.Error("renewed with more than a third of its life left")
	}
	if second := issued(17 * time.Hour); second == first || !second.Leaf.NotAfter.Equal(now.Add(17*time.Hour+LeafLifetime)) {
		t.Error("not renewed with less than a third of its life left")
	}
	if got, want := k.Expires(), now.Add(Lifetime).Unix(); got != want {
		t.Errorf("the authority that signs ends at %d, want %d", got, want)
	}
	// Its successor does once it has been published for long enough.
	issued(Lifetime - RenewBefore + time.Hour)
	if got, want := k.Expires(), now.Add(Lifetime).Unix(); got != want {
		t.Errorf("a successor that has just been published signs: %d, want %d", got, want)
	}
	issued(Lifetime - RenewBefore + time.Hour + Overlap)
	if got, want := k.Expires(), now.Add(2*Lifetime-RenewBefore+time.Hour).Unix(); got != want {
		t.Errorf("its successor ends at %d, want %d", got, want)
	}
}

func TestTheServingCertificateIsRenewedWhileTheAPIServerIsAway(t *testing.T) {
	v := new(memory)
	k := newRenewer(t, v)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := k.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	bundle := v.bundle
	v.fail = errors.New("away")
	now = now.Add(10 * 24 * time.Hour)
	if err := k.Refresh(t.Context(), now); !errors.Is(err, v.fail) {
		t.Errorf("got %v, want the failure", err)
	}
	if err := trusts(bundle, k, now); err != nil {
		t.Error(err)
	}
}

func TestReplicasThatStartTogetherAgree(t *testing.T) {
	v := new(memory)
	one, two := newRenewer(t, v), newRenewer(t, v)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v.beforeSave = func() {
		if err := two.Refresh(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for i, k := range []*Renewer{one, two} {
		if err := trusts(v.bundle, k, now); err != nil {
			t.Errorf("replica %d: %v", i, err)
		}
	}
	if as, err := Parse(v.data); err != nil || len(as) != 1 {
		t.Errorf("%d authorities, %v; want 1", len(as), err)
	}
}

func TestNothingIsServedBeforeItsAuthorityIsPublished(t *testing.T) {
	v := &memory{fail: errors.New("away")}
	k := newRenewer(t, v)
	if err := k.Refresh(t.Context(), time.Now()); !errors.Is(err, v.fail) {
		t.Errorf("got %v", err)
	}
	if _, err := k.Certificate(nil); err == nil {
		t.Error("a certificate nobody can trust yet")
	}
}

func TestUnreadableAuthoritiesAreReplaced(t *testing.T) {
	v := &memory{data: []byte("garbage")}
	k := newRenewer(t, v)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := k.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if err := trusts(v.bundle, k, now); err != nil {
		t.Error(err)
	}
}

func TestAuthoritiesSurviveTheSecret(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	as, _, err := Authorities(nil).Renew(now)
	if err != nil {
		t.Fatal(err)
	}
	as, changed, err := as.Renew(now.Add(Lifetime - RenewBefore))
	if err != nil || !changed || len(as) != 2 {
		t.Fatalf("%d authorities, changed %v, %v; want a successor", len(as), changed, err)
	}
	data, err := as.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.Marshal(); err != nil || !bytes.Equal(data, again) {
		t.Errorf("changed in the Secret: %v", err)
	}
	one, two := as[:1], as[1:]
	first, _ := one.Marshal()
	second, _ := two.Marshal()
	certOnly := second[:bytes.Index(second, []byte("-----BEGIN PRIVATE KEY"))]
	mixed := append(bytes.Clone(certOnly), first[bytes.Index(first, []byte("-----BEGIN PRIVATE KEY")):]...)
	for what, bad := range map[string][]byte{
		"cut short": data[:len(data)*3/4], "a certificate alone": certOnly, "another's key": mixed, "trailing": append(bytes.Clone(data), 'x'),
	} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%s: parsed as %d authorities", what, len(got))
		}
	}
}

func TestTheBundleHoldsNoKeys(t *testing.T) {
	as, _, err := Authorities(nil).Renew(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(as.Bundle(), []byte("PRIVATE")) {
		t.Error("a key is in the bundle")
	}
}

func TestRunRefreshesUntilItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &memory{}
		k := newRenewer(t, v)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		for range 48 {
			time.Sleep(time.Hour)
			synctest.Wait()
			if err := trusts(v.published(), k, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
