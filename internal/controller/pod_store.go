package controller

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/policy"
)

// podStore keeps what the index reads of every pod, and nothing else: an empty corev1.Pod alone takes more than a kilobyte, and there may be
// 150,000 of them. Pods with equal labels and one owner share both. A reflector fills it.
type podStore struct {
	synced chan struct{} // closed when it first holds the whole cluster

	mu sync.Mutex
	// guarded by mu
	pods    map[types.NamespacedName]*keptPod
	shared  map[string]*shared // by its text
	full    bool               // synced is closed
	changed func(objectKey)    // called for a pod that changes once the store is full; nil for nobody
}

// keptPod is a pod as the store holds it.
type keptPod struct {
	index.Pod
	shared *shared
}

// shared is what some pods have in common. Its labels and owner are never written to.
type shared struct {
	text   string
	labels labels.Set
	owner  *policy.Owner
	pods   int // that have it; guarded by podStore.mu
}

var _ cache.TransformingStore = (*podStore)(nil)

func newPodStore() *podStore {
	return &podStore{synced: make(chan struct{}), pods: map[types.NamespacedName]*keptPod{}, shared: map[string]*shared{}}
}

// get returns a pod by its name.
func (s *podStore) get(namespace, name string) (index.Pod, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pods[types.NamespacedName{Namespace: namespace, Name: name}]; p != nil {
		return p.Pod, true
	}
	return index.Pod{}, false
}

// each calls do with every pod. It holds up changes of pods meanwhile.
func (s *podStore) each(do func(index.Pod)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pods {
		do(p.Pod)
	}
}

// onChange has changed called, with the store locked, for every pod that changes from now on, if the store is full, or else from when it is.
func (s *podStore) onChange(changed func(objectKey)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = changed
}

// Transformer implements cache.TransformingStore: the reflector collects the pods in this form before it hands them to Replace.
func (s *podStore) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		p, ok := obj.(*corev1.Pod)
		if !ok {
			return nil, fmt.Errorf("a pod was expected, not %T", obj)
		}
		return s.keep(p), nil
	}
}

// Add implements cache.ReflectorStore.
func (s *podStore) Add(obj any) error { return s.Update(obj) }

// Update implements cache.ReflectorStore.
func (s *podStore) Update(obj any) error {
	p, err := s.keptOf(obj)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(p)
	return nil
}

// Delete implements cache.ReflectorStore.
func (s *podStore) Delete(obj any) error {
	p, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(types.NamespacedName{Namespace: p.GetNamespace(), Name: p.GetName()})
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *podStore) Replace(list []any, _ string) error {
	present := make(map[types.NamespacedName]*keptPod, len(list))
	for i, obj := range list {
		p, err := s.keptOf(obj)
		if err != nil {
			return err
		}
		list[i] = nil // the list is the store's, and large
		present[p.key()] = p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range present {
		s.set(p)
	}
	for key := range s.pods {
		if present[key] == nil {
			s.remove(key)
		}
	}
	// Of lists that were given up half-way there may be some that no pod has.
	maps.DeleteFunc(s.shared, func(_ string, c *shared) bool { return c.pods == 0 })
	if !s.full {
		s.full = true
		close(s.synced)
	}
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *podStore) Resync() error { return nil }

// keptOf returns what is kept of a pod from the API server, or what the transformer made of it.
func (s *podStore) keptOf(obj any) (*keptPod, error) {
	switch p := obj.(type) {
	case *keptPod:
		return p, nil
	case *corev1.Pod:
		return s.keep(p), nil
	}
	return nil, fmt.Errorf("a pod was expected, not %T", obj)
}

// keep returns what is kept of a pod. What it shares is shared at once: a whole cluster's would be large until it is in the store.
func (s *podStore) keep(p *corev1.Pod) *keptPod {
	out := &keptPod{Pod: podOf(p)}
	text := textOf(&out.Pod)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.shared[text]
	if c == nil {
		c = &shared{text: text, labels: out.Labels, owner: out.Owner}
		s.shared[text] = c
	}
	out.use(c)
	return out
}

// use has p share what c has.
func (p *keptPod) use(c *shared) { p.shared, p.Labels, p.Owner = c, c.labels, c.owner }

func (p *keptPod) key() types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// set puts p in the place of what there is under its name. The caller holds mu.
func (s *podStore) set(p *keptPod) {
	old := s.pods[p.key()]
	if old != nil && old.equal(p) {
		return
	}
	s.share(p)
	if old != nil {
		s.unshare(old)
	}
	s.pods[p.key()] = p
	s.notify(p.key())
}

// remove removes a pod. The caller holds mu.
func (s *podStore) remove(key types.NamespacedName) {
	if p := s.pods[key]; p != nil {
		s.unshare(p)
		delete(s.pods, key)
		s.notify(key)
	}
}

func (s *podStore) notify(key types.NamespacedName) {
	if s.full && s.changed != nil {
		s.changed(objectKey{kind: kindPod, namespace: key.Namespace, name: key.Name})
	}
}

func (p *keptPod) equal(o *keptPod) bool {
	return p.UID == o.UID && p.Node == o.Node && p.HostNetwork == o.HostNetwork && p.Running == o.Running && p.shared.text == o.shared.text
}

// share counts p among those that share what it does. The caller holds mu.
func (s *podStore) share(p *keptPod) {
	if c := s.shared[p.shared.text]; c != nil {
		p.use(c)
	} else {
		s.shared[p.shared.text] = p.shared // the last one that had it has gone since p was made
	}
	p.shared.pods++
}

// unshare reverses share. The caller holds mu.
func (s *podStore) unshare(p *keptPod) {
	if p.shared.pods--; p.shared.pods == 0 {
		delete(s.shared, p.shared.text)
	}
}

// textOf writes the labels and the owner of pods so that equal ones have equal text, and others another.
func textOf(p *index.Pod) string {
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		b = append(strconv.AppendQuote(b, key), '=')
		b = append(strconv.AppendQuote(b, p.Labels[key]), ',')
	}
	if o := p.Owner; o != nil {
		b = append(append(append(append(b, o.Kind...), ' '), o.Name...), ' ')
	}
	return string(b)
}
