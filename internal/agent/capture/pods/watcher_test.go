package pods_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"fairlead.dev/fairlead/internal/agent/capture/pods"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRuntime answers as a container runtime does.
type fakeRuntime struct {
	runtimeapi.UnimplementedRuntimeServiceServer

	mu        sync.Mutex
	sandboxes map[string]fakeSandbox
	broken    bool
	described int
}

type fakeSandbox struct {
	uid, info string
	created   int64
	attempt   uint32
	host      bool
	notReady  bool
	vanishes  bool // listed, but gone when asked about
	stuck     bool // listed, but the runtime fails to describe it
	silent    bool // listed, but the runtime does not answer when asked about it
}

func (f *fakeRuntime) set(id string, s fakeSandbox) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sandboxes[id] = s
}

func (f *fakeRuntime) remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sandboxes, id)
}

func (f *fakeRuntime) breaks(broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = broken
}

func (f *fakeRuntime) ListPodSandbox(_ context.Context, r *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return nil, status.Error(codes.Unavailable, "out of order")
	}
	answer := &runtimeapi.ListPodSandboxResponse{}
	for _, id := range slices.Sorted(maps.Keys(f.sandboxes)) {
		s := f.sandboxes[id]
		state := runtimeapi.PodSandboxState_SANDBOX_READY
		if s.notReady {
			state = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
		}
		if state != r.GetFilter().GetState().GetState() {
			continue
		}
		answer.Items = append(answer.Items, &runtimeapi.PodSandbox{Id: id, CreatedAt: s.created, State: state,
			Metadata: &runtimeapi.PodSandboxMetadata{Uid: s.uid, Name: "pod-" + s.uid, Namespace: "shop", Attempt: s.attempt}})
	}
	return answer, nil
}

func (f *fakeRuntime) PodSandboxStatus(ctx context.Context, r *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.sandboxes[r.GetPodSandboxId()]
	if s.silent {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if !ok || s.vanishes || !r.GetVerbose() {
		return nil, status.Error(codes.NotFound, "no such sandbox")
	}
	if s.stuck {
		return nil, status.Error(codes.Internal, "task is stuck")
	}
	f.described++
	mode := runtimeapi.NamespaceMode_POD
	if s.host {
		mode = runtimeapi.NamespaceMode_NODE
	}
	return &runtimeapi.PodSandboxStatusResponse{
		Status: &runtimeapi.PodSandboxStatus{Linux: &runtimeapi.LinuxPodSandboxStatus{
			Namespaces: &runtimeapi.Namespace{Options: &runtimeapi.NamespaceOption{Network: mode}}}},
		Info: map[string]string{"info": s.info},
	}, nil
}

func (f *fakeRuntime) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return nil, status.Error(codes.Unavailable, "out of order")
	}
	return &runtimeapi.VersionResponse{RuntimeName: "containerd", RuntimeVersion: "v2.4.0"}, nil
}

func at(path string) string {
	return fmt.Sprintf(`{"pid":1,"runtimeSpec":{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":%q}]}}}`, path)
}

// start runs a Watcher against a fake runtime.
func start(t *testing.T) (*fakeRuntime, *pods.Watcher, string) {
	t.Helper()
	return startWith(t, func(o pods.Options) pods.Options { return o })
}

func startWith(t *testing.T, change func(pods.Options) pods.Options) (*fakeRuntime, *pods.Watcher, string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "pods") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	l, err := net.Listen("unix", filepath.Join(folder, "s"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeRuntime{sandboxes: map[string]fakeSandbox{}}
	server := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(server, f)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	netns := filepath.Join(folder, "netns")
	if err := os.Mkdir(netns, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := pods.New(change(pods.Options{Socket: filepath.Join(folder, "s"), Folder: netns,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); server.Stop(); wg.Wait() })
	return f, w, netns
}

// await waits until the watcher knows exactly want.
func await(t *testing.T, w *pods.Watcher, want map[string]pods.Sandbox) {
	t.Helper()
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	for {
		got, known := w.Sandboxes()
		diff := cmp.Diff(want, got, cmpopts.EquateErrors())
		if known && diff == "" {
			return
		}
		select {
		case <-w.Changed():
		case <-timeout.C:
			t.Fatalf("not known within 30 s: %s", diff)
		}
	}
}

func ref(uid string) pods.Ref { return pods.Ref{UID: uid, Namespace: "shop", Name: "pod-" + uid} }

func TestFindsSandboxes(t *testing.T) {
	f, w, netns := start(t)
	f.set("containerd", fakeSandbox{uid: "a", info: at("/var/run/netns/cni-1")})
	f.set("crio", fakeSandbox{uid: "b", info: `{"image":"pause",` + at("/run/netns/2f1c")[1:]})
	f.set("host", fakeSandbox{uid: "h", host: true, info: "{}"})
	f.set("stopped", fakeSandbox{uid: "s", notReady: true, info: at("/run/netns/3")})
	f.set("gone", fakeSandbox{uid: "g", vanishes: true})
	f.set("elsewhere", fakeSandbox{uid: "e", info: at("/proc/1/ns/net")})
	f.set("escaping", fakeSandbox{uid: "x", info: at("/run/netns/../../etc/shadow")})
	f.set("garbled", fakeSandbox{uid: "y", info: "{"})
	f.set("empty", fakeSandbox{uid: "z", info: "{}"})
	w.Hurry()
	await(t, w, map[string]pods.Sandbox{
		"a": {Pod: ref("a"), ID: "containerd", NetNS: netns + "/cni-1"},
		"b": {Pod: ref("b"), ID: "crio", NetNS: netns + "/2f1c"},
		"h": {Pod: ref("h"), ID: "host", Host: true},
		"e": {Pod: ref("e"), ID: "elsewhere", Err: pods.ErrNoNamespace},
		"x": {Pod: ref("x"), ID: "escaping", Err: pods.ErrNoNamespace},
		"y": {Pod: ref("y"), ID: "garbled", Err: pods.ErrNoNamespace},
		"z": {Pod: ref("z"), ID: "empty", Err: pods.ErrNoNamespace},
	})
}

func TestTheRuntimeSaysWhatItIs(t *testing.T) {
	f, w, _ := start(t)
	if name, version, err := w.Runtime(t.Context()); name != "containerd" || version != "v2.4.0" || err != nil {
		t.Errorf("%q %q %v", name, version, err)
	}
	f.breaks(true)
	if name, version, err := w.Runtime(t.Context()); name != "" || version != "" || err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("%q %q %v, want the runtime's error", name, version, err)
	}
}

// TestFollowsARecreatedSandbox: also when the clock was set back between the two.
func TestFollowsARecreatedSandbox(t *testing.T) {
	f, w, netns := start(t)
	f.set("first", fakeSandbox{uid: "a", created: 2, info: at("/run/netns/1")})
	w.Hurry()
	await(t, w, map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "first", NetNS: netns + "/1"}})
	f.set("second", fakeSandbox{uid: "a", attempt: 1, created: 1, info: at("/run/netns/2")})
	await(t, w, map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "second", NetNS: netns + "/2"}})
	f.remove("first")
	f.remove("second")
	await(t, w, map[string]pods.Sandbox{})
}

func TestAsksTheRuntimeOnceAboutASandbox(t *testing.T) {
	f, w, netns := start(t)
	f.set("one", fakeSandbox{uid: "a", info: at("/run/netns/1")})
	w.Hurry()
	await(t, w, map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "one", NetNS: netns + "/1"}})
	f.set("two", fakeSandbox{uid: "b", info: at("/run/netns/2")})
	w.Hurry()
	await(t, w, map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "one", NetNS: netns + "/1"}, "b": {Pod: ref("b"), ID: "two", NetNS: netns + "/2"}})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.described != 2 {
		t.Errorf("described %d times, want 2", f.described)
	}
}

func TestNamespaceOnDiskIsAHint(t *testing.T) {
	f, w, netns := startWith(t, pods.Options.OnlyWhenHinted)
	await(t, w, map[string]pods.Sandbox{})
	f.set("one", fakeSandbox{uid: "a", info: at("/run/netns/1")})
	if err := os.WriteFile(filepath.Join(netns, "1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, w, map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "one", NetNS: netns + "/1"}})
}

func TestKeepsWhatItKnowsWhileTheRuntimeIsAway(t *testing.T) {
	f, w, netns := start(t)
	f.set("one", fakeSandbox{uid: "a", info: at("/run/netns/1")})
	w.Hurry()
	known := map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "one", NetNS: netns + "/1"}}
	await(t, w, known)
	f.breaks(true)
	w.Hurry()
	poll(t, "the failure is reported", func() bool { return w.Err() != nil && strings.Contains(w.Err().Error(), "out of order") })
	await(t, w, known)
	f.breaks(false)
	poll(t, "the recovery is reported", func() bool { return w.Err() == nil })
}

func TestOneStuckSandboxDoesNotHideTheOthers(t *testing.T) {
	f, w, netns := start(t)
	f.set("stuck", fakeSandbox{uid: "s", info: at("/run/netns/0"), stuck: true})
	f.set("one", fakeSandbox{uid: "a", info: at("/run/netns/1")})
	w.Hurry()
	await(t, w, map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "one", NetNS: netns + "/1"}})
	poll(t, "the failure is reported", func() bool { return w.Err() != nil && strings.Contains(w.Err().Error(), "shop/pod-s") })
	f.set("stuck", fakeSandbox{uid: "s", info: at("/run/netns/0")})
	await(t, w, map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "one", NetNS: netns + "/1"}, "s": {Pod: ref("s"), ID: "stuck", NetNS: netns + "/0"}})
}

// TestSilentSandboxesDoNotHoldUpTheOthers has the runtime be silent about many sandboxes, as it is when their shims hang.
func TestSilentSandboxesDoNotHoldUpTheOthers(t *testing.T) {
	f, w, netns := start(t)
	for i := range 5 {
		f.set(fmt.Sprint("silent-", i), fakeSandbox{uid: fmt.Sprint("s", i), info: at("/run/netns/0"), silent: true})
	}
	f.set("one", fakeSandbox{uid: "a", info: at("/run/netns/1")})
	w.Hurry()
	await(t, w, map[string]pods.Sandbox{"a": {Pod: ref("a"), ID: "one", NetNS: netns + "/1"}})
	poll(t, "the silence is reported", func() bool { return w.Err() != nil })
	poll(t, "pods that come later are known soon", func() bool {
		id := fmt.Sprint("later-", time.Now().UnixNano())
		f.set(id, fakeSandbox{uid: id, info: at("/run/netns/2")})
		start := time.Now()
		w.Hurry()
		poll(t, "a later pod is known", func() bool { now, _ := w.Sandboxes(); return now[id].ID == id })
		return time.Since(start) < time.Second
	})
	if err := w.Err(); err == nil {
		t.Error("the silence is forgotten")
	}
}

func poll(t *testing.T, what string, condition func() bool) {
	t.Helper()
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func TestNewAsksForWhatItNeeds(t *testing.T) {
	if _, err := pods.New(pods.Options{}); err == nil {
		t.Error("made a watcher from nothing")
	}
}
