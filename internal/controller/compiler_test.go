package controller

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/index/indextest"
	"fairlead.dev/fairlead/internal/policy"
)

// countingStore is a Store that notes how many changes each publication has.
type countingStore struct {
	*distribute.Store
	published []int
}

func (s *countingStore) Publish(b *distribute.Batch) error {
	s.published = append(s.published, b.Len())
	return s.Store.Publish(b)
}

// A pod that has started is published before the backlog of a change of many profiles, and that as one.
func TestPodsThatStartArePublishedBeforeABacklog(t *testing.T) {
	const profiles = 200
	x := index.New(indextest.NewWorld(), indextest.Exempt)
	for i := range profiles {
		name := fmt.Sprintf("p%d", i)
		x.SetPolicy(types.UID(name), indextest.RetryPolicy(t, "shop", name, 1, fmt.Sprintf(`{podSelector: {matchLabels: {app: %s}}, to: [{any: {}}]}`, name)))
		x.SetPod(indextest.RunningPod("shop", name, "node-1", name))
	}
	store := &countingStore{Store: distribute.NewStore(distribute.StoreOptions{})}
	var statuses []policy.ID
	c := newCompiler(x, store, func(ids []policy.ID) { statuses = ids }, slog.New(slog.DiscardHandler))
	c.publishAll(t.Context())
	if !slices.Equal(store.published, []int{2 * profiles}) || len(statuses) != profiles {
		t.Errorf("publications of %v changes, %d statuses", store.published, len(statuses))
	}
	store.published = nil
	x.SetPolicy("all", indextest.RetryPolicy(t, "shop", "all", 1, `{to: [{any: {}}]}`))
	x.SetPod(indextest.RunningPod("shop", "new", "node-1", "new"))
	c.publishAll(t.Context())
	if want := []int{2, 3 * profiles}; !slices.Equal(store.published, want) { // each pod gets another profile, and the former one goes
		t.Errorf("publications of %v changes, want %v", store.published, want)
	}
	if v, _ := x.View(policy.ParseID("shop/all")); v.Unpublished || v.PublishedRevision != store.Revision() {
		t.Errorf("unpublished %v, published with %d of %d", v.Unpublished, v.PublishedRevision, store.Revision())
	}
	store.published = nil
	if c.publishAll(t.Context()); store.published != nil {
		t.Errorf("publications of %v changes when nothing has changed", store.published)
	}
}

// failingStore panics at its first publication.
type failingStore struct {
	*distribute.Store
	publications atomic.Int64
}

func (s *failingStore) Publish(b *distribute.Batch) error {
	if s.publications.Add(1) == 1 {
		panic("a bug")
	}
	return s.Store.Publish(b)
}

// A panic does not end the manager.
func TestTheCompilerGoesOnAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := index.New(indextest.NewWorld(), indextest.Exempt)
		x.SetPolicy("p", indextest.RetryPolicy(t, "shop", "p", 1, `{to: [{any: {}}]}`))
		x.SetPod(indextest.RunningPod("shop", "a", "node-1", "a"))
		store := &failingStore{Store: distribute.NewStore(distribute.StoreOptions{})}
		var rounds atomic.Int64
		c := newCompiler(x, store, func([]policy.ID) { rounds.Add(1) }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Start(ctx) }()
		c.changed()
		synctest.Wait()
		if store.publications.Load() != 1 || rounds.Load() != 0 {
			t.Errorf("%d publications, %d rounds", store.publications.Load(), rounds.Load())
		}
		time.Sleep(retryInterval)
		synctest.Wait()
		if rounds.Load() != 1 {
			t.Errorf("%d rounds after the panic", rounds.Load())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
