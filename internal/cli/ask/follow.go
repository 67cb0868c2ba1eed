package ask

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// lookAgain is how often agents are looked for that are to be read: they are replaced, pods come to other nodes, and an agent ends a tap after an hour.
	lookAgain = 30 * time.Second
	// lookSoon is how soon that is done when a stream has ended, and twice as long each time until another one ends, up to lookAgain.
	lookSoon = time.Second
)

// Follow reads streams of lines of agents, each a JSON value: of those that there are, and of those that come later or in their place.
type Follow[T any] struct {
	Path  string
	Query url.Values
	// Agents returns the agents that are to be read now, of which MaxStreams are. It is called again and again. An error beside agents is about others.
	Agents func(ctx context.Context) ([]corev1.Pod, error)
	// Each is called with what comes, one at a time.
	Each func(T)
	// State is called when it changes how many agents are read, and why others are not, each reason once. It is called while Each is not.
	State func(read int, unread []error)
	// For is after how long no stream is opened any more: Run returns when those have ended that are open, which are asked, as for, not to last longer. 0:
	// when ctx ends.
	For time.Duration
	// Persistent: it goes on where no agent can be read at first.
	Persistent bool
	// Every is how often agents are looked for; 0: 30 s. After a stream has ended that is sooner.
	Every time.Duration
}

// Run reads until ctx or the time ends. It fails where no agent can be read at first.
func (f *Follow[T]) Run(ctx context.Context, a *Asker) error {
	agents, err := f.Agents(ctx)
	if err != nil && len(agents) == 0 {
		return err
	}
	r := &following[T]{Follow: f, asker: a, until: time.Now().Add(f.For), open: map[string]bool{}, unread: map[string]error{}, ended: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer r.running.Wait()
	r.looked(agents, err)
	if err := r.run(ctx, r.begin(ctx, agents, f.Query)); err != nil {
		stop() // what was asked since is not waited for
		return err
	}
	return nil
}

// following is a Follow that runs.
type following[T any] struct {
	// immutable
	*Follow[T]
	asker *Asker
	until time.Time

	running sync.WaitGroup
	ended   chan struct{} // something comes on it when a stream has ended that was open

	mu sync.Mutex // held while Each and State are called
	// guarded by mu
	open   map[string]bool  // agents that are asked; true: they have answered
	some   bool             // one has
	unread map[string]error // why agents are not read that were asked last; "": why others cannot be looked for
}

// run looks for agents that are not read, until ctx or the time ends. first is closed when each of those that there were has answered, or cannot be read.
func (f *following[T]) run(ctx context.Context, first <-chan struct{}) error {
	var over <-chan time.Time
	if f.For > 0 {
		over = time.After(time.Until(f.until))
	}
	every := cmp.Or(f.Every, lookAgain)
	soon := min(lookSoon, every)
	pause := every
	next := time.NewTimer(pause)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			return nil
		case <-first:
			if err := f.none(); err != nil && ctx.Err() == nil {
				return err
			}
			first = nil
		case <-f.ended:
			if pause > soon {
				pause = soon
				next.Reset(pause)
			}
		case <-next.C:
			f.look(ctx)
			pause = min(2*pause, every)
			next.Reset(pause)
		}
	}
}

// look reads the agents that there are now and that are not read.
func (f *following[T]) look(ctx context.Context) {
	agents, err := f.Agents(ctx)
	if ctx.Err() != nil {
		return
	}
	agents = slices.DeleteFunc(agents, func(a corev1.Pod) bool { return a.DeletionTimestamp != nil }) // it is about to end
	f.looked(agents, err)
	query := f.Query
	if f.For > 0 {
		left := time.Until(f.until).Truncate(time.Second)
		if left < time.Second {
			return // the shortest time that an agent can be asked for
		}
		query = maps.Clone(query)
		query.Set("for", left.String())
	}
	f.begin(ctx, agents, query)
}

// looked notes which agents there are, so that nothing is said of those that are gone, and why others cannot be looked for, if they cannot.
func (f *following[T]) looked(agents []corev1.Pod, err error) {
	there := map[string]bool{}
	for i := range agents {
		there[keyOf(&agents[i])] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.unread)
	maps.DeleteFunc(f.unread, func(key string, _ error) bool { return !there[key] })
	if err != nil {
		f.unread[""] = err
	}
	if before > 0 || err != nil {
		f.changed()
	}
}

// begin reads the agents that are not read. It returns what is closed when each has answered, or cannot be read.
func (f *following[T]) begin(ctx context.Context, agents []corev1.Pod, query url.Values) <-chan struct{} {
	var asked sync.WaitGroup
	for i := range agents {
		agent := &agents[i]
		if !f.take(agent) {
			continue
		}
		asked.Add(1)
		answered := sync.OnceFunc(asked.Done)
		f.running.Go(func() {
			defer answered()
			f.read(ctx, agent, query, answered)
		})
	}
	all := make(chan struct{})
	f.running.Go(func() {
		asked.Wait()
		close(all)
	})
	return all
}

// take reports whether an agent is to be read that is not yet, and notes that it is.
func (f *following[T]) take(agent *corev1.Pod) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := keyOf(agent)
	if _, asked := f.open[key]; asked || len(f.open) >= MaxStreams {
		return false
	}
	f.open[key] = false
	return true
}

// keyOf distinguishes agents: one that is made anew may have the name of the one before.
func keyOf(agent *corev1.Pod) string { return agent.Name + "/" + string(agent.UID) }

// read reads an agent until its stream or ctx ends.
func (f *following[T]) read(ctx context.Context, agent *corev1.Pod, query url.Values, answered func()) {
	opened := func() {
		f.opened(agent)
		answered()
	}
	err := lines(ctx, f.asker, agent, f.Path, query, opened, func(v T) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.Each(v)
	})
	f.closed(ctx, agent, err)
}

func (f *following[T]) opened(agent *corev1.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[keyOf(agent)], f.some = true, true
	delete(f.unread, keyOf(agent))
	f.changed()
}

// closed notes that an agent is not read any more. One that was is looked for soon.
func (f *following[T]) closed(ctx context.Context, agent *corev1.Pod, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := keyOf(agent)
	was := f.open[key]
	delete(f.open, key)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.unread[key] = err
	}
	f.changed()
	if was {
		select {
		case f.ended <- struct{}{}:
		default: // it is known that one has
		}
	}
}

// changed says how it stands, once an agent has answered: that none does at first is an error. It expects the lock.
func (f *following[T]) changed() {
	if !f.some && !f.Persistent {
		return
	}
	read := 0
	for _, answered := range f.open {
		if answered {
			read++
		}
	}
	f.State(read, f.reasons())
}

// reasons are why agents are not read, each once, in the order of the agents' names. It expects the lock.
func (f *following[T]) reasons() (all []error) {
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(f.unread)) {
		if err := f.unread[key]; !seen[err.Error()] {
			seen[err.Error()] = true
			all = append(all, err)
		}
	}
	return all
}

// none returns why no agent has ever answered; nil: one has, or there was none.
func (f *following[T]) none() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.some || f.Persistent {
		return nil
	}
	return errors.Join(f.reasons()...)
}

// Once returns a function for State that passes each sentence about what is not read on once, of at most 64.
func Once(say func(error)) func(read int, unread []error) {
	const most = 64
	said := map[string]bool{}
	return func(_ int, unread []error) {
		for _, err := range unread {
			if text := err.Error(); !said[text] && len(said) < most {
				said[text] = true
				say(err)
			}
		}
	}
}
