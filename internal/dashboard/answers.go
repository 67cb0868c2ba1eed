package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

const (
	leastSince  = 10 * time.Second
	mostSince   = time.Hour
	usualSince  = 10 * time.Minute
	maxName     = 320
	keptAnswers = 32
	// answerKept is for how long an answer is given again to who asks the same: several pages that are open ask at the same moment.
	answerKept = time.Second
)

// page reads the parameters of a query, and returns what answers it: that is called if nothing is wrong with them.
type page func(ctx context.Context, q *liveapi.Query) func() (any, error)

// answerPages adds the pages that are answered once.
func (s *Server) answerPages(mux *http.ServeMux) {
	src := s.opts.Source
	for path, p := range map[string]struct {
		params []string
		read   page
	}{
		model.ClusterPath:     {nil, whole(src.Cluster)},
		model.PoliciesPath:    {nil, whole(src.Policies)},
		model.BreakersPath:    {nil, whole(src.Breakers)},
		model.NodesPath:       {nil, whole(src.Nodes)},
		model.ProblemsPath:    {nil, whole(src.Problems)},
		model.OverviewPath:    {[]string{"since", "namespace", "workload", "policy", "destination", "limit"}, s.overview},
		model.ChangesPath:     {[]string{"since", "policy", "node", "kind", "limit"}, s.changes},
		model.PolicyPath:      {[]string{"name", "since"}, s.policy},
		model.DestinationPath: {[]string{"name", "since"}, s.destination},
	} {
		mux.HandleFunc("GET /"+path, s.answered(p.params, p.read))
	}
}

// whole is a page without parameters.
func whole[T any](read func(context.Context) (T, error)) page {
	return func(ctx context.Context, _ *liveapi.Query) func() (any, error) {
		return func() (any, error) { return read(ctx) }
	}
}

func since(q *liveapi.Query) time.Duration {
	return q.Duration("since", usualSince, leastSince, mostSince)
}

func (s *Server) overview(ctx context.Context, q *liveapi.Query) func() (any, error) {
	o := OverviewQuery{
		Since: since(q), Namespace: q.Text("namespace"), Workload: q.Text("workload"), Policy: q.Text("policy"), Destination: q.Text("destination"),
		Limit: q.Int("limit", 500, 1, 2000),
	}
	return func() (any, error) { return s.opts.Source.Overview(ctx, o) }
}

func (s *Server) changes(ctx context.Context, q *liveapi.Query) func() (any, error) {
	c := ChangesQuery{Since: since(q), Policy: q.Text("policy"), Node: q.Text("node"), Kind: q.Text("kind"), Limit: q.Int("limit", 300, 1, 1000)}
	return func() (any, error) { return s.opts.Source.Changes(ctx, c) }
}

func (s *Server) policy(ctx context.Context, q *liveapi.Query) func() (any, error) {
	name, since := q.Text("name"), since(q)
	return named(name, "a policy: namespace/name, or the name of a ClusterRetryPolicy", func() (any, error) { return s.opts.Source.Policy(ctx, name, since) })
}

func (s *Server) destination(ctx context.Context, q *liveapi.Query) func() (any, error) {
	name, since := q.Text("name"), since(q)
	return named(name, "a destination, as the overview has it", func() (any, error) { return s.opts.Source.Destination(ctx, name, since) })
}

// badRequestError is about the request.
type badRequestError struct{ error }

func named(name, what string, read func() (any, error)) func() (any, error) {
	if name == "" || len(name) > maxName {
		return func() (any, error) {
			return nil, badRequestError{fmt.Errorf("name is needed: write name= and %s", what)}
		}
	}
	return read
}

// answered answers with what a page reads, once for all who ask for the same at a time.
func (s *Server) answered(params []string, p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := liveapi.ParseQuery(r, params...)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), answerTime)
		defer cancel()
		read := p(ctx, q)
		if err := q.Err(); err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		a, err := s.answers.get(r.URL.Path+"?"+r.URL.Query().Encode(), read)
		if err != nil {
			refuse(w, statusOf(err), err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", a.tag)
		if slices.Contains(tags(r.Header.Get("If-None-Match")), a.tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.Method != http.MethodHead {
			_, _ = w.Write(a.body) // the reader is gone if this fails
		}
	}
}

func tags(list string) []string {
	all := strings.Split(list, ",")
	for i := range all {
		all[i] = strings.TrimPrefix(strings.TrimSpace(all[i]), "W/")
	}
	return all
}

func statusOf(err error) int {
	var missing *NotFoundError
	var bad badRequestError
	switch {
	case errors.As(err, &missing):
		return http.StatusNotFound
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, errBusy):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

// refuse answers with a Problem.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(model.Problem{Message: why}) // the reader is gone if this fails
}

var errBusy = errors.New("the dashboard is busy with other pages: close some, or ask again")

// answer is one that was made.
type answer struct {
	body []byte
	tag  string
	at   time.Time
}

// answers makes answers, a few at a time.
type answers struct {
	flight singleflight.Group
	turns  chan struct{}

	mu sync.Mutex
	// guarded by mu
	kept map[string]*answer
}

func newAnswers() *answers {
	return &answers{turns: make(chan struct{}, maxAnswers), kept: map[string]*answer{}}
}

// get returns the answer to what a key names.
func (a *answers) get(key string, read func() (any, error)) (*answer, error) {
	if got := a.recent(key, time.Now()); got != nil {
		return got, nil
	}
	v, err, _ := a.flight.Do(key, func() (any, error) {
		wait := time.NewTimer(answerTime)
		defer wait.Stop()
		select {
		case a.turns <- struct{}{}:
			defer func() { <-a.turns }()
		case <-wait.C:
			return nil, errBusy
		}
		value, err := read()
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		made := &answer{body, tagOf(timeless(body)), time.Now()}
		a.keep(key, made)
		return made, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*answer), nil
}

// timeless is a body without the time that it begins with (model.Part): an answer that is otherwise the same is the same.
func timeless(body []byte) []byte {
	if _, rest, ok := bytes.Cut(body, []byte{','}); ok && bytes.HasPrefix(body, []byte(`{"at":`)) {
		return rest
	}
	return body
}

func (a *answers) recent(key string, now time.Time) *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := a.kept[key]; got != nil && now.Sub(got.at) < answerKept {
		return got
	}
	return nil
}

func (a *answers) keep(key string, made *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, old := range a.kept {
		if made.at.Sub(old.at) >= answerKept || len(a.kept) >= keptAnswers {
			delete(a.kept, k)
		}
	}
	a.kept[key] = made
}
