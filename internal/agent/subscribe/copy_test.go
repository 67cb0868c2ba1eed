package subscribe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/policy"
	"fairlead.dev/fairlead/internal/wire"
)

func encoded[T any](t testing.TB, encode func(*T) (*wire.Resource, error), v *T) *wire.Resource {
	t.Helper()
	r, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func profile(t testing.TB, name string, edit int) *wire.Resource {
	b := policy.Binding{Key: name, Base: policy.Defaults(), To: policy.Target{Kind: policy.TargetAny}}
	b.Base.Retry.MaxRetries = edit
	return encoded(t, wire.EncodeProfile, &policy.Profile{Name: name, Bindings: []policy.Binding{b}})
}

// sample is a set of a few resources.
func sample(t testing.TB, pods int) *set {
	t.Helper()
	u := wire.Update{Set: []*wire.Resource{
		profile(t, "p", 1), encoded(t, wire.EncodeDestination, &policy.Destination{Name: "shop/cart", Hostnames: []string{"cart"}}),
	}}
	for i := range pods {
		u.Set = append(u.Set, encoded(t, wire.EncodeWorkload, &policy.Workload{UID: fmt.Sprint("pod-", i), Profile: "p"}))
	}
	s, refused := emptySet().with(u)
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	return s
}

func TestTheCopyHoldsWhatWasSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	if _, err := loadCopy(path); !errors.Is(err, errNoCopy) {
		t.Fatalf("without a copy: %v", err)
	}
	for _, pods := range []int{0, 1, 100, 3} {
		want := sample(t, pods)
		if err := saveCopy(path, want); err != nil {
			t.Fatal(err)
		}
		got, err := loadCopy(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.resources, got.resources, cmpopts.IgnoreUnexported(wire.Resource{})); diff != "" {
			t.Errorf("resources (-saved +loaded):\n%s", diff)
		}
		if diff := cmp.Diff(want.snapshot.Workloads, got.snapshot.Workloads); diff != "" {
			t.Errorf("workloads (-saved +loaded):\n%s", diff)
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// Every single changed bit and every cut is noticed.
func TestADamagedCopyIsNeverUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy")
	if err := saveCopy(path, sample(t, 2)); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if _, err := parseCopy(bad); err == nil {
			t.Fatalf("byte %d changed unnoticed", i)
		}
		if _, err := parseCopy(good[:i]); err == nil {
			t.Fatalf("cut to %d bytes unnoticed", i)
		}
	}
	if _, err := parseCopy(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte too many unnoticed")
	}
}

func FuzzCopy(f *testing.F) {
	path := filepath.Join(f.TempDir(), "policy")
	if err := saveCopy(path, sample(f, 2)); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseCopy(data); err == nil && len(s.resources) > wire.MaxHeld {
			t.Errorf("%d resources", len(s.resources))
		}
	})
}

func TestACopyThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "missing", "policy")
	if err := saveCopy(path, sample(t, 1)); err == nil {
		t.Error("saved into a directory that does not exist")
	}
}

func TestManyUpdatesCostFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "policy")
		var log strings.Builder
		s := newCopyWriter(path, slog.New(slog.NewTextHandler(&log, nil)))
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { s.run(ctx); close(done) }()
		writes, before := 0, []byte(nil)
		for i := range 100 {
			s.save(sample(t, i))
			synctest.Wait()
			if now, err := os.ReadFile(path); err == nil && !bytes.Equal(now, before) {
				writes, before = writes+1, now
			}
			time.Sleep(50 * time.Millisecond)
		}
		if writes < 4 || writes > 6 {
			t.Errorf("%d writes in 5 s", writes)
		}
		last := sample(t, 9)
		s.save(last)
		cancel()
		<-done
		got, err := loadCopy(path)
		if err != nil || got.version() != last.version() {
			t.Errorf("the last set was not written before the end: %v", err)
		}
		if log.Len() > 0 {
			t.Error(log.String())
		}
	})
}
