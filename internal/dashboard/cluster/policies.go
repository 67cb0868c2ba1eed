package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// watchAgain is how long it takes until policies are listed again whose watch has ended or was refused.
const watchAgain = 2 * time.Second

// policies are those of the cluster, kept current by watches: to list thousands for each page would be too much for the API server.
type policies struct {
	env    *kube.Env
	client client.WithWatch

	kinds [2]watchedKind
}

// watchedKind are the policies of one kind.
type watchedKind struct {
	list   func() client.ObjectList
	of     func(client.Object) kube.Policy
	listed chan struct{} // closed when they have been listed, or could not be

	mu sync.Mutex
	// guarded by mu
	all  map[string]kube.Policy // by namespace/name
	err  error
	note string
	once bool // listed is closed
}

func newPolicies(env *kube.Env, c client.WithWatch) *policies {
	p := &policies{env: env, client: c}
	for i := range p.kinds {
		p.kinds[i].listed, p.kinds[i].all = make(chan struct{}), map[string]kube.Policy{}
	}
	p.kinds[0].list = func() client.ObjectList { return &v1alpha1.RetryPolicyList{} }
	p.kinds[0].of = func(o client.Object) kube.Policy { return kube.Namespaced(o.(*v1alpha1.RetryPolicy)) }
	p.kinds[1].list = func() client.ObjectList { return &v1alpha1.ClusterRetryPolicyList{} }
	p.kinds[1].of = func(o client.Object) kube.Policy { return kube.Clusterwide(o.(*v1alpha1.ClusterRetryPolicy)) }
	return p
}

// run keeps them current until ctx ends.
func (p *policies) run(ctx context.Context, changed func()) {
	var running sync.WaitGroup
	for i := range p.kinds {
		running.Go(func() { p.follow(ctx, &p.kinds[i], changed) })
	}
	running.Wait()
}

// follow lists policies and watches them from there on, again and again.
func (p *policies) follow(ctx context.Context, k *watchedKind, changed func()) {
	for ctx.Err() == nil {
		if w, err := p.start(ctx, k); err != nil {
			k.failed(err)
		} else {
			changed()
			k.events(ctx, w, changed)
		}
		wait := time.NewTimer(watchAgain)
		select {
		case <-ctx.Done():
			wait.Stop()
		case <-wait.C:
		}
	}
}

// start lists policies, of all namespaces or, if that is refused, of the user's own, and watches them from there on.
func (p *policies) start(ctx context.Context, k *watchedKind) (watch.Interface, error) {
	list, options, note := k.list(), &client.ListOptions{}, ""
	err := p.client.List(ctx, list, options)
	if _, namespaced := list.(*v1alpha1.RetryPolicyList); namespaced && apierrors.IsForbidden(err) {
		namespace, nsErr := p.env.Namespace()
		if nsErr != nil {
			return nil, nsErr
		}
		options.Namespace, note = namespace, "RetryPolicies of namespace "+namespace+" alone are shown: those of all namespaces may not be listed."
		err = p.client.List(ctx, list, options)
	}
	if err != nil {
		return nil, kube.Explain(err, "list policies")
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("read the list of policies: %w", err)
	}
	all := make(map[string]kube.Policy, len(items))
	for _, o := range items {
		one := k.of(o.(client.Object))
		all[one.Key()] = one
	}
	k.set(all, note)
	options.Raw = &metav1.ListOptions{ResourceVersion: list.GetResourceVersion(), AllowWatchBookmarks: true}
	w, err := p.client.Watch(ctx, k.list(), options)
	return w, kube.Explain(err, "watch policies")
}

// events takes in what changes, until the watch ends.
func (k *watchedKind) events(ctx context.Context, w watch.Interface, changed func()) {
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.ResultChan():
			if !ok || e.Type == watch.Error {
				return
			}
			if o, is := e.Object.(client.Object); is && e.Type != watch.Bookmark {
				k.take(e.Type, k.of(o))
				changed()
			}
		}
	}
}

func (k *watchedKind) take(t watch.EventType, p kube.Policy) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t == watch.Deleted {
		delete(k.all, p.Key())
	} else {
		k.all[p.Key()] = p
	}
}

func (k *watchedKind) set(all map[string]kube.Policy, note string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all, k.err, k.note = all, nil, note
	k.ready()
}

func (k *watchedKind) failed(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
	k.ready()
}

// ready expects the lock.
func (k *watchedKind) ready() {
	if !k.once {
		k.once = true
		close(k.listed)
	}
}

// wait returns when policies of both kinds have been listed, or could not be.
func (p *policies) wait(ctx context.Context) error {
	for i := range p.kinds {
		select {
		case <-p.kinds[i].listed:
		case <-ctx.Done():
			return fmt.Errorf("list policies: %w", ctx.Err())
		}
	}
	return nil
}

// sorted returns all, RetryPolicies first, by namespace and name, with notes about those that are missing. They are not to be changed.
func (p *policies) sorted(ctx context.Context) (all []kube.Policy, notes []string, err error) {
	if err := p.wait(ctx); err != nil {
		return nil, nil, err
	}
	for i := range p.kinds {
		k := &p.kinds[i]
		k.mu.Lock()
		from := len(all)
		for _, one := range k.all {
			all = append(all, one)
		}
		if k.note != "" {
			notes = append(notes, k.note)
		}
		if k.err != nil {
			notes = append(notes, k.err.Error())
		}
		k.mu.Unlock()
		slices.SortFunc(all[from:], func(a, b kube.Policy) int {
			return cmp.Or(cmp.Compare(a.Object.GetNamespace(), b.Object.GetNamespace()), cmp.Compare(a.Object.GetName(), b.Object.GetName()))
		})
	}
	return all, notes, nil
}

// find returns a policy by namespace/name or name, or nil. An error says why it may be among those that cannot be listed.
func (p *policies) find(ctx context.Context, key string) (*kube.Policy, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	var unknown error
	for i := range p.kinds {
		k := &p.kinds[i]
		k.mu.Lock()
		one, ok := k.all[key]
		if k.err != nil && len(k.all) == 0 {
			unknown = cmp.Or(unknown, k.err)
		}
		k.mu.Unlock()
		if ok {
			return &one, nil
		}
	}
	return nil, unknown
}
