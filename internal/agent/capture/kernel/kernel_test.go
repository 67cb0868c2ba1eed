package kernel

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
	"fairlead.dev/fairlead/internal/agent/capture/nft"
)

const modules = `nft_redir 12288 2 - Live 0x0000000000000000
nf_nat 65536 3 nft_redir,nft_nat,nft_chain_nat, Live 0x0000000000000000
nft_ct 24576 0 - Loading 0x0000000000000000
tcp_diag 12288 0 - Unloading 0x0000000000000000 (E)

short line
`

func TestLoadedModulesAreThoseThatAreReady(t *testing.T) {
	got := loadedIn(strings.NewReader(modules))
	if diff := cmp.Diff(map[string]bool{"nft_redir": true, "nf_nat": true}, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzLoadedModules: whatever a list holds, only words of it are modules.
func FuzzLoadedModules(f *testing.F) {
	f.Add(modules)
	f.Add("a b c d Live")
	f.Fuzz(func(t *testing.T, list string) {
		for name := range loadedIn(strings.NewReader(list)) {
			if name == "" || !strings.Contains(list, name) || strings.ContainsAny(name, " \n\t") {
				t.Errorf("%q is no module of %q", name, list)
			}
		}
	})
}

func TestWhatWorksIsFoundOutOnceAndTheRestAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "modules")
	if err := os.WriteFile(file, []byte(modules), 0o600); err != nil {
		t.Fatal(err)
	}
	start, probes := time.Now(), 0
	results := []struct {
		features []nft.Feature
		err      error
	}{
		{nil, errors.New("no room")},
		{[]nft.Feature{{Module: "nft_redir"}, {Module: "nft_ct", Err: errors.New("unknown")}}, nil},
		{[]nft.Feature{{Module: "nft_redir"}, {Module: "nft_ct"}}, nil},
	}
	k := &Kernel{modules: file, probe: func() ([]nft.Feature, error) {
		probes++
		r := results[probes-1]
		return r.features, r.err
	}}
	for _, step := range []struct {
		after         time.Duration
		probes, works int
		fails         bool
	}{
		{0, 1, 0, true}, {29 * time.Second, 1, 0, true}, {30 * time.Second, 2, 1, false}, {59 * time.Second, 2, 1, false}, {time.Minute, 3, 2, false},
		{24 * time.Hour, 3, 2, false},
	} {
		f := k.Facts(start.Add(step.after))
		works, loaded := 0, 0
		for _, x := range f.Features {
			if x.Err == nil {
				works++
			}
			if x.Loaded {
				loaded++
			}
		}
		if probes != step.probes || works != step.works || (f.Err != nil) != step.fails {
			t.Errorf("after %s: %d probes, %+v", step.after, probes, f)
		}
		if len(f.Features) > 0 && loaded != 1 {
			t.Errorf("after %s: %d of its modules are loaded", step.after, loaded)
		}
	}
}

// The kernel that this runs on is the one that uname names, and captures pods, as other tests show.
func TestTheKernelOfThisMachine(t *testing.T) {
	netnstest.Privileged(t)
	f := New(netnstest.Host(t)).Facts(time.Now())
	want, err := exec.CommandContext(t.Context(), "uname", "-r").Output()
	if err != nil {
		t.Fatal(err)
	}
	if f.Release != strings.TrimSpace(string(want)) {
		t.Errorf("release %q, want %q", f.Release, want)
	}
	if f.Err != nil || len(f.Features) == 0 {
		t.Fatalf("%+v", f)
	}
	for _, x := range f.Features {
		if x.Needed && x.Err != nil {
			t.Errorf("%s: %v", x.Module, x.Err)
		}
	}
}

// A kernel without a list of modules has what is built in.
func TestWithoutAListOfModulesNoneIsLoaded(t *testing.T) {
	k := &Kernel{modules: filepath.Join(t.TempDir(), "none"), probe: func() ([]nft.Feature, error) { return []nft.Feature{{Module: "nft_redir"}}, nil }}
	if f := k.Facts(time.Now()); len(f.Features) != 1 || f.Features[0].Loaded {
		t.Errorf("%+v", f)
	}
}
