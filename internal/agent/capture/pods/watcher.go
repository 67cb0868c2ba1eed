package pods

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	callTimeout = 2 * time.Second
	maxMessage  = 16 << 20 // as the kubelet's
	// maxDescribing bounds how many requests for the details of a sandbox are under way.
	maxDescribing = 64
	// After a hint the runtime is asked again soon, then less and less often: a sandbox shows up in its list a little later than
	// its network namespace on disk.
	soon = 50 * time.Millisecond
	late = time.Second
	// shunned is how long the runtime is not asked again about a sandbox about which it was silent: each time costs a callTimeout, in
	// which nothing is heard of others.
	shunned = 5 * time.Second
)

// errSilent says that the runtime does not answer about a sandbox.
var errSilent = errors.New("the container runtime is silent about a sandbox")

// Options configure a Watcher.
type Options struct {
	// Socket is the path of the runtime's socket.
	Socket string
	// Folder is where this process sees the runtime's network namespaces.
	Folder string
	Log    *slog.Logger

	soon, late time.Duration // by default soon and late
}

// Watcher keeps a list of the sandboxes on this node by asking the runtime: soon after network namespaces come or go, when
// Hurry asks for it, and every second. The runtime's own stream of events is not used: containerd 1.6 has none, and asking
// finds what a stream missed.
type Watcher struct {
	// immutable after New
	options Options
	conn    *grpc.ClientConn
	runtime runtimeapi.RuntimeServiceClient
	hurry   chan struct{}
	changed chan struct{}

	// used only by Run
	silent map[string]time.Time // until when sandboxes are shunned, by ID

	mu        sync.Mutex
	sandboxes map[string]Sandbox // by pod UID; replaced, never modified; nil until the runtime answered once
	err       error
}

// New prepares a Watcher; Run starts it.
func New(o Options) (*Watcher, error) {
	if o.Socket == "" || o.Folder == "" || o.Log == nil {
		return nil, errors.New("pods: socket, folder and log are required")
	}
	o.soon, o.late = cmp.Or(o.soon, soon), cmp.Or(o.late, late)
	conn, err := grpc.NewClient("unix:"+o.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("container runtime at %s: %w", o.Socket, err)
	}
	return &Watcher{options: o, conn: conn, runtime: runtimeapi.NewRuntimeServiceClient(conn),
		hurry: make(chan struct{}, 1), changed: make(chan struct{}, 1)}, nil
}

// Sandboxes returns the running sandboxes by pod UID, and whether the runtime has answered yet. The map must not be modified.
// While the runtime does not answer, it is the last one known.
func (w *Watcher) Sandboxes() (map[string]Sandbox, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sandboxes, w.sandboxes != nil
}

// Err is why the runtime could not be asked the last time, or nil.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Runtime asks the runtime for its name and version.
func (w *Watcher) Runtime(ctx context.Context) (name, version string, err error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := w.runtime.Version(asking, &runtimeapi.VersionRequest{})
	if err != nil {
		return "", "", fmt.Errorf("ask the container runtime at %s for its version: %w", w.options.Socket, err)
	}
	return answer.GetRuntimeName(), answer.GetRuntimeVersion(), nil
}

// Changed wakes its one reader after Sandboxes changed.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Hurry polls the runtime at once, and often for a short time. It never blocks.
func (w *Watcher) Hurry() {
	select {
	case w.hurry <- struct{}{}:
	default:
	}
}

// Run asks until ctx ends, and then closes the connection to the runtime. It returns an error only when it cannot start.
func (w *Watcher) Run(ctx context.Context) error {
	defer func() { _ = w.conn.Close() }()
	hints := watchFolder(w.options.Folder, w.Hurry)
	defer hints.stop()
	if hints.err != nil {
		w.options.Log.Info("no hints from the folder of network namespaces; asking the runtime every second",
			"folder", w.options.Folder, "err", hints.err)
	}
	wait := time.NewTimer(0)
	defer wait.Stop()
	pause := w.options.soon
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.hurry:
			pause = w.options.soon
		case <-wait.C:
			pause = min(2*pause, w.options.late)
		}
		w.refresh(ctx)
		wait.Reset(pause)
	}
}

// refresh polls the runtime once and publishes the sandboxes.
func (w *Watcher) refresh(ctx context.Context) {
	next, err := w.list(ctx)
	if ctx.Err() != nil {
		return
	}
	if w.publish(next, err) {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

func (w *Watcher) publish(next map[string]Sandbox, err error) (changed bool) {
	w.mu.Lock()
	before := w.err
	w.err = err
	if next != nil {
		changed = w.sandboxes == nil || !maps.EqualFunc(w.sandboxes, next, func(a, b Sandbox) bool { return a.ID == b.ID })
		w.sandboxes = next
	}
	w.mu.Unlock()
	switch {
	case err != nil && before == nil:
		w.options.Log.Warn("container runtime does not answer", "socket", w.options.Socket, "err", err)
	case err == nil && before != nil:
		w.options.Log.Info("container runtime answers again", "socket", w.options.Socket)
	}
	return changed
}

// list asks for the ready sandboxes, and for the whereabouts of those not known yet. A sandbox that the runtime cannot describe
// is left out and asked about again; the error says so beside the others. Without any answer the map is nil.
func (w *Watcher) list(ctx context.Context) (map[string]Sandbox, error) {
	ready := &runtimeapi.PodSandboxFilter{State: &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY}}
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := w.runtime.ListPodSandbox(asking, &runtimeapi.ListPodSandboxRequest{Filter: ready})
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	known, _ := w.Sandboxes()
	next := make(map[string]Sandbox, len(answer.GetItems()))
	var unknown []*runtimeapi.PodSandbox
	silent, now := make(map[string]time.Time), time.Now()
	for uid, item := range newest(answer.GetItems()) {
		if s, ok := known[uid]; ok && s.ID == item.GetId() {
			next[uid] = s
		} else if until := w.silent[item.GetId()]; now.Before(until) {
			silent[item.GetId()] = until
		} else {
			unknown = append(unknown, item)
		}
	}
	w.silent = silent
	err = w.describeAll(ctx, unknown, next)
	if err == nil && len(silent) > 0 {
		err = errSilent
	}
	return next, err
}

// describeAll adds to next what the runtime says about items, several at a time and within one callTimeout for all, because a single
// sandbox about which it does not answer must not hold up what is known of the others.
func (w *Watcher) describeAll(ctx context.Context, items []*runtimeapi.PodSandbox, next map[string]Sandbox) error {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var mu sync.Mutex // guards next, silent and undescribed
	var undescribed error
	var group errgroup.Group
	group.SetLimit(maxDescribing)
	for _, item := range items {
		group.Go(func() error {
			s, err := w.describe(asking, item)
			mu.Lock()
			defer mu.Unlock()
			switch status.Code(err) {
			case codes.OK:
				next[s.Pod.UID] = s
			case codes.NotFound: // gone meanwhile
			case codes.DeadlineExceeded:
				w.silent[item.GetId()] = time.Now().Add(shunned)
				undescribed = err
			default:
				undescribed = err
			}
			return nil
		})
	}
	_ = group.Wait()
	return undescribed
}

// newest picks the sandbox made last for every pod: while a pod's sandbox is replaced there may be two. The runtime counts a pod's sandboxes;
// its clock may have been set between two.
func newest(items []*runtimeapi.PodSandbox) map[string]*runtimeapi.PodSandbox {
	byUID := make(map[string]*runtimeapi.PodSandbox, len(items))
	for _, item := range items {
		uid := item.GetMetadata().GetUid()
		if other := byUID[uid]; other == nil || cmp.Or(cmp.Compare(other.GetMetadata().GetAttempt(), item.GetMetadata().GetAttempt()),
			cmp.Compare(other.GetCreatedAt(), item.GetCreatedAt())) < 0 {
			byUID[uid] = item
		}
	}
	return byUID
}

func (w *Watcher) describe(ctx context.Context, item *runtimeapi.PodSandbox) (Sandbox, error) {
	answer, err := w.runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: item.GetId(), Verbose: true})
	if err != nil {
		return Sandbox{}, fmt.Errorf("describe sandbox of %s/%s: %w", item.GetMetadata().GetNamespace(), item.GetMetadata().GetName(), err)
	}
	m := item.GetMetadata()
	s := Sandbox{ID: item.GetId(), Pod: Ref{UID: m.GetUid(), Namespace: m.GetNamespace(), Name: m.GetName()}}
	return locate(s, answer, w.options.Folder), nil
}
