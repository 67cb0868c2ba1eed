package ask_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/ask/asktest"
	"fairlead.dev/fairlead/internal/cli/kube"
)

// sentence is a line of a stream.
type sentence struct{ Says string }

// says writes a line of a stream.
func says(w http.ResponseWriter, text string) {
	_ = json.NewEncoder(w).Encode(sentence{text})
	_ = http.NewResponseController(w).Flush()
}

// stays is an agent that says something and goes on, and may be asked once.
func stays(t *testing.T, text string) http.Handler {
	t.Helper()
	var asked atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			t.Errorf("%s is read twice", text)
		}
		says(w, text)
		<-r.Context().Done()
	})
}

func agentPod(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: kube.DefaultSystem, Name: name, UID: types.UID("of " + name), Labels: map[string]string{"app.kubernetes.io/name": "fairlead-agent"}},
		Spec:       corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// follow returns what follows the agents of a cluster, as they are in live.
func follow(t *testing.T, c *asktest.Cluster, live client.Client) (*ask.Follow[sentence], *ask.Asker) {
	t.Helper()
	a := ask.New(c.Env, live, c.Reach)
	return &ask.Follow[sentence]{
		Path: "/lines", Query: url.Values{}, Every: time.Millisecond,
		Agents: func(ctx context.Context) ([]corev1.Pod, error) { return a.AgentsOn(ctx, "") },
		State:  func(int, []error) {},
	}, a
}

// An agent that takes the place of another is read, as one is that comes newly, and those that stay are not read twice.
func TestAgentsAreFollowed(t *testing.T) {
	c := asktest.New(t)
	gone := make(chan struct{})
	var asked atomic.Int32
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 1 {
			http.Error(w, "it has ended", http.StatusServiceUnavailable) // a look that began before it went may still ask
			return
		}
		says(w, "first")
		<-gone
	}))
	c.Add("fairlead-agent", "agent-0", "node-0", stays(t, "another"))
	c.Serve("agent-2", stays(t, "in its place"))
	c.Serve("agent-3", stays(t, "new"))
	live, err := c.Env.Client()
	if err != nil {
		t.Fatal(err)
	}
	f, a := follow(t, c, live)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var heard []string
	f.Each = func(s sentence) {
		heard = append(heard, s.Says)
		if s.Says == "first" {
			if err := errors.Join(live.Delete(ctx, agentPod("agent-1", "")), live.Create(ctx, agentPod("agent-2", "node-1")), live.Create(ctx, agentPod("agent-3", "node-3"))); err != nil {
				t.Error(err)
			}
			close(gone)
		}
		if len(heard) == 4 {
			cancel()
		}
	}
	if err := f.Run(ctx, a); err != nil {
		t.Fatal(err)
	}
	slices.Sort(heard)
	if !slices.Equal(heard, []string{"another", "first", "in its place", "new"}) {
		t.Errorf("heard %q", heard)
	}
}

// How many are read, and why others are not, is said as it is: an agent that cannot be read is asked again, and one that is gone is not missed.
func TestWhatIsNotReadIsSaid(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", stays(t, "there"))
	var said atomic.Bool
	c.Add("fairlead-agent", "agent-2", "node-2", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !said.Load() {
			http.Error(w, "it begins", http.StatusServiceUnavailable)
			return
		}
		says(w, "there too")
		<-r.Context().Done()
	}))
	c.Add("fairlead-agent", "agent-3", "node-3", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "it ends", http.StatusServiceUnavailable)
	}))
	live, err := c.Env.Client()
	if err != nil {
		t.Fatal(err)
	}
	f, a := follow(t, c, live)
	f.Each = func(sentence) {}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var states, once []string
	remember := ask.Once(func(err error) { once = append(once, err.Error()) })
	removed := false
	f.State = func(read int, unread []error) {
		remember(read, unread)
		states = append(states, fmt.Sprint(read, unread))
		said.Store(said.Load() || read == 1 && len(unread) == 2)
		if read == 2 && !removed {
			removed = true
			if err := live.Delete(ctx, agentPod("agent-3", "")); err != nil {
				t.Error(err)
			}
		}
		if read == 2 && len(unread) == 0 {
			cancel()
		}
	}
	if err := f.Run(ctx, a); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(states, "1 [pod agent-2: it begins pod agent-3: it ends]") || states[len(states)-1] != "2 []" {
		t.Errorf("it is said to be %q", states)
	}
	slices.Sort(once)
	if !slices.Equal(once, []string{"pod agent-2: it begins", "pod agent-3: it ends"}) {
		t.Errorf("said once are %q", once)
	}
}

// A stream that says nothing, as that of a node that has died, is given up and opened again.
func TestASilentStreamIsOpenedAgain(t *testing.T) {
	c := asktest.New(t)
	var asked atomic.Int32
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		says(w, fmt.Sprint("stream ", asked.Add(1)))
		<-r.Context().Done()
	}))
	live, err := c.Env.Client()
	if err != nil {
		t.Fatal(err)
	}
	f, a := follow(t, c, live)
	f.Persistent = true // since on a busy machine the first answer may take as long
	a.GiveUpAfter(100 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var heard, unread []string
	f.Each = func(s sentence) {
		if heard = append(heard, s.Says); len(heard) == 2 {
			cancel()
		}
	}
	f.State = ask.Once(func(err error) { unread = append(unread, err.Error()) })
	if err := f.Run(ctx, a); err != nil {
		t.Fatal(err)
	}
	if len(heard) != 2 || heard[0] == heard[1] || len(unread) != 1 || !strings.Contains(unread[0], "the stream of pod agent-1: it has said nothing for too long") {
		t.Errorf("heard %q, and %q", heard, unread)
	}
}

// Where nobody can be read at first that is an error, unless it is to go on all the same.
func TestNobodyCanBeRead(t *testing.T) {
	for _, persistent := range []bool{false, true} {
		c := asktest.New(t)
		var asked atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) == 3 {
				cancel()
			}
			http.Error(w, "write a status", http.StatusBadRequest)
		}))
		live, err := c.Env.Client()
		if err != nil {
			t.Fatal(err)
		}
		f, a := follow(t, c, live)
		f.Persistent = persistent
		if !persistent {
			f.Every = time.Hour
		}
		err = f.Run(ctx, a)
		if n := asked.Load(); persistent && (err != nil || n < 3) || !persistent && (err == nil || err.Error() != "pod agent-1: write a status" || n != 1) {
			t.Errorf("persistent is %v: asked %d times, %v", persistent, n, err)
		}
		cancel()
	}
}

// That is not held up by agents that were asked later and have not answered.
func TestNobodyCouldBeReadAtFirst(t *testing.T) {
	c := asktest.New(t)
	later := make(chan struct{})
	var live client.Client
	var asked atomic.Int32
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			if err := live.Create(r.Context(), agentPod("agent-2", "node-2")); err != nil {
				t.Error(err)
			}
		}
		<-later
		http.Error(w, "write a status", http.StatusBadRequest)
	}))
	c.Serve("agent-2", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(later)
		<-r.Context().Done()
	}))
	var err error
	if live, err = c.Env.Client(); err != nil {
		t.Fatal(err)
	}
	f, a := follow(t, c, live)
	a.GiveUpAfter(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := f.Run(ctx, a); err == nil || err.Error() != "pod agent-1: write a status" || ctx.Err() != nil {
		t.Errorf("%v; %v", err, ctx.Err())
	}
}

// It ends when the time is over, and not before.
func TestATimeIsKept(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { says(w, "once") }))
	live, err := c.Env.Client()
	if err != nil {
		t.Fatal(err)
	}
	f, a := follow(t, c, live)
	f.Query.Set("for", "1s")
	f.For, f.Every = time.Second, 100*time.Millisecond
	f.Each = func(sentence) {}
	began := time.Now()
	if err := f.Run(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < f.For {
		t.Errorf("it has ended after %s", took)
	}
	if len(c.Asked) != 1 || !strings.HasSuffix(c.Asked[0], "?for=1s") { // less than a second is left then, and no agent takes that
		t.Errorf("asked %q", c.Asked)
	}
}

// Whoever is asked later is asked for what is left of the time.
func TestNoMoreThanWhatIsLeftIsAskedFor(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-agent", "agent-1", "node-1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { says(w, "again") }))
	live, err := c.Env.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f, a := follow(t, c, live)
	f.Query.Set("for", "1h")
	f.For = time.Hour
	heard := 0
	f.Each = func(sentence) {
		if heard++; heard == 2 {
			cancel()
		}
	}
	if err := f.Run(ctx, a); err != nil {
		t.Fatal(err)
	}
	if len(c.Asked) < 2 || !strings.HasSuffix(c.Asked[0], "?for=1h") {
		t.Fatalf("asked %q", c.Asked)
	}
	for _, q := range c.Asked[1:] {
		_, left, _ := strings.Cut(q, "?for=")
		if d, err := time.ParseDuration(left); err != nil || d <= 0 || d >= f.For {
			t.Errorf("asked %q: %v", q, err)
		}
	}
}
