package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"fairlead.dev/fairlead/internal/cli/ask/asktest"
)

// tripper answers requests.
type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// reading is a body that fails.
type reading struct{ err error }

func (r reading) Read([]byte) (int, error) { return 0, r.err }

// A connection by which no answer comes in time is not used again; one whose reader has gone is.
func TestAConnectionThatAnswersNoMoreIsDropped(t *testing.T) {
	over, passed := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer passed()
	given, giveUp := context.WithCancel(t.Context())
	giveUp()
	for name, tc := range map[string]struct {
		ctx     context.Context
		body    io.Reader // nil: no answer comes
		dropped bool
	}{
		"no answer":          {ctx: over, dropped: true},
		"half an answer":     {ctx: t.Context(), body: reading{context.DeadlineExceeded}, dropped: true},
		"the reader is gone": {ctx: given},
		"an answer":          {ctx: t.Context(), body: strings.NewReader("{}")},
	} {
		t.Run(name, func(t *testing.T) {
			opened, ended := 0, make(chan struct{}, 1)
			k := newKept(func(*corev1.Pod, uint16) (*http.Client, func(), error) {
				opened++
				return &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
					if tc.body == nil {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(tc.body), Request: r}, nil
				})}, func() { ended <- struct{}{} }, nil
			})
			c, end, err := k.reach(&corev1.Pod{}, 1)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(tc.ctx, http.MethodGet, "http://localhost/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if res, err := c.Transport.RoundTrip(r); err == nil {
				_, _ = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			end()
			if _, end, err = k.reach(&corev1.Pod{}, 1); err != nil {
				t.Fatal(err)
			}
			end()
			if tc.dropped {
				<-ended
			}
			if again := opened == 2; again != tc.dropped {
				t.Errorf("opened %d times", opened)
			}
		})
	}
}

// A look at what has changed ends in time, whatever becomes of the connection.
func TestALookAtChangesHasADeadline(t *testing.T) {
	c := asktest.New(t)
	c.Add("fairlead-manager", "manager-1", "node-1", http.NotFoundHandler())
	api, err := c.Env.Client()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	s := New(Options{Env: c.Env, Client: api, Reach: func(*corev1.Pod, uint16) (*http.Client, func(), error) {
		return &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			asked++
			if _, has := r.Context().Deadline(); !has {
				t.Error("a look without a deadline")
			}
			return nil, context.DeadlineExceeded
		})}, func() {}, nil
	}})
	if at, err := s.lastChange(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !at.IsZero() || asked != 1 {
		t.Errorf("%s, %v, asked %d times", at, err, asked)
	}
}
