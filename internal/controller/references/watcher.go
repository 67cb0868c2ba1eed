package references

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"fairlead.dev/fairlead/internal/controller/compile"
)

const (
	// checkInterval is how often is looked for what has expired and for what nobody refers to any more.
	checkInterval = 20 * time.Second
	// role and binding are what a namespace grants rights by.
	role = "fairlead-references"
)

// Options configure a Watcher.
type Options struct {
	Client kubernetes.Interface
	// Namespace is the one that fairlead runs in, and Account the manager's service account there.
	Namespace, Account string
	// Used returns the objects that policies refer to.
	Used func() map[compile.Reference]struct{}
	// Changed is called with objects of which something else is known than before. It must not block.
	Changed func([]compile.Reference)
	Logger  *slog.Logger // default: discard
}

// Watcher reads the objects that policies refer to.
type Watcher struct {
	opts Options // immutable

	mu sync.Mutex
	// guarded by mu
	objects map[compile.Reference]*object
	read    chan struct{} // closed and replaced when an object was read for the first time
	closed  bool
	wg      sync.WaitGroup // of the objects' goroutines
}

// New returns a watcher of nothing.
func New(opts Options) *Watcher {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Watcher{opts: opts, objects: map[compile.Reference]*object{}, read: make(chan struct{})}
}

// Find returns what is known of an object.
func (w *Watcher) Find(ref compile.Reference) compile.Referent {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := compile.Referent{Presence: compile.Unread}
	if o := w.objects[ref]; o != nil {
		out = o.known
	}
	out.Now = time.Now()
	switch out.Presence {
	case compile.Forbidden:
		out.Hint = w.howToPermit(ref)
	case compile.Unread:
		out.Hint = "the API server has not answered."
	case compile.Absent, compile.Present, compile.Unserved:
	}
	return out
}

// howToPermit is the command that lets the manager read what policies of a namespace refer to.
func (w *Watcher) howToPermit(ref compile.Reference) string {
	if ref.Kind == trustBundle {
		return "its ClusterRole fairlead-manager lacks the right to read clustertrustbundles."
	}
	return fmt.Sprintf("permit it: kubectl create rolebinding %[1]s --clusterrole=%[1]s --serviceaccount=%s:%s --namespace=%s",
		role, w.opts.Namespace, w.opts.Account, w.namespaceOf(ref))
}

// namespaceOf is where a namespaced object is.
func (w *Watcher) namespaceOf(ref compile.Reference) string {
	if ref.Namespace == "" {
		return w.opts.Namespace
	}
	return ref.Namespace
}

// Require has the objects read from now on, and returns those of which nothing is known yet.
func (w *Watcher) Require(refs []compile.Reference) (unread []compile.Reference) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ref := range refs {
		o := w.objects[ref]
		if o == nil && !w.closed {
			o = w.start(ref)
		}
		if o != nil {
			o.unused = false
		}
		if o == nil || o.known.Presence == compile.Unread {
			unread = append(unread, ref)
		}
	}
	return unread
}

// start begins to read an object. It is called with mu held.
func (w *Watcher) start(ref compile.Reference) *object {
	ctx, cancel := context.WithCancel(context.Background())
	o := &object{watcher: w, ref: ref, stop: cancel, known: compile.Referent{Presence: compile.Unread}}
	w.objects[ref] = o
	w.wg.Go(func() { o.run(ctx) })
	return o
}

// Wait has the objects read, and returns when something is known of all of them or ctx ends.
func (w *Watcher) Wait(ctx context.Context, refs []compile.Reference) {
	for {
		w.mu.Lock()
		read := w.read
		w.mu.Unlock()
		if len(w.Require(refs)) == 0 {
			return
		}
		select {
		case <-read:
		case <-ctx.Done():
			return
		}
	}
}

// Start implements manager.Runnable. It works until ctx ends, and then stops all reading.
func (w *Watcher) Start(ctx context.Context) error {
	defer w.wg.Wait()
	defer w.close()
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.check(w.opts.Used(), time.Now())
		}
	}
}

// NeedLeaderElection has only the replica that leads read.
func (w *Watcher) NeedLeaderElection() bool { return true }

func (w *Watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, o := range w.objects {
		o.stop()
	}
}

// check tells of what has expired since, and stops reading what was not used at the last check either: a policy that is just being read
// may require an object a moment before it refers to it.
func (w *Watcher) check(used map[compile.Reference]struct{}, now time.Time) {
	var changed []compile.Reference
	w.mu.Lock()
	for ref, o := range w.objects {
		if _, ok := used[ref]; !ok {
			if o.unused {
				o.stop()
				delete(w.objects, ref)
			}
			o.unused = true
			continue
		}
		o.unused = false
		if !o.next.IsZero() && !now.Before(o.next) {
			o.setNext(now)
			changed = append(changed, ref)
		}
	}
	w.mu.Unlock()
	if len(changed) > 0 {
		w.opts.Changed(changed)
	}
}
