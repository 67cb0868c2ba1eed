package distribute

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fakeReviews answers TokenReviews.
type fakeReviews struct {
	answer func(*authenticationv1.TokenReview)
	err    error
	asked  int
}

func (f *fakeReviews) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	f.asked++
	f.answer(obj.(*authenticationv1.TokenReview))
	return f.err
}

func jwt(expiry time.Time) string {
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, expiry.Unix()))
	return "e30." + claims + ".c2ln"
}

func goodAnswer(r *authenticationv1.TokenReview) {
	r.Status = authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{"fairlead-manager"},
		User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:fairlead-system:fairlead-agent",
			Extra: map[string]authenticationv1.ExtraValue{
				"authentication.kubernetes.io/node-name": {"n1"},
				"authentication.kubernetes.io/pod-uid":   {"agent-1"},
			},
		},
	}
}

func reviewer(t *testing.T, f *fakeReviews) *TokenReviewer {
	t.Helper()
	r, err := NewTokenReviewer(TokenReviewOptions{
		Client: f, Audience: "fairlead-manager", Namespace: "fairlead-system", ServiceAccount: "fairlead-agent",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestATokensIdentityIsThatOfItsReview(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*authenticationv1.TokenReviewStatus)
		want  error
	}{
		"good":              {func(*authenticationv1.TokenReviewStatus) {}, nil},
		"not authenticated": {func(s *authenticationv1.TokenReviewStatus) { s.Authenticated = false }, ErrUnauthenticated},
		"other audience":    {func(s *authenticationv1.TokenReviewStatus) { s.Audiences = []string{"storage"} }, ErrUnauthenticated},
		"no audience":       {func(s *authenticationv1.TokenReviewStatus) { s.Audiences = nil }, ErrUnauthenticated},
		"other account": {func(s *authenticationv1.TokenReviewStatus) {
			s.User.Username = "system:serviceaccount:fairlead-system:default"
		}, ErrForbidden},
		"other namespace": {func(s *authenticationv1.TokenReviewStatus) {
			s.User.Username = "system:serviceaccount:shop:fairlead-agent"
		}, ErrForbidden},
		"no node":   {func(s *authenticationv1.TokenReviewStatus) { delete(s.User.Extra, extraNode) }, ErrForbidden},
		"no pod":    {func(s *authenticationv1.TokenReviewStatus) { delete(s.User.Extra, extraPodUID) }, ErrForbidden},
		"two nodes": {func(s *authenticationv1.TokenReviewStatus) { s.User.Extra[extraNode] = []string{"n1", "n2"} }, ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeReviews{answer: func(r *authenticationv1.TokenReview) {
				if len(r.Spec.Audiences) != 1 || r.Spec.Audiences[0] != "fairlead-manager" {
					t.Errorf("asked for audiences %v", r.Spec.Audiences)
				}
				goodAnswer(r)
				tc.spoil(&r.Status)
			}}
			expiry := time.Now().Add(time.Hour).Truncate(time.Second)
			id, err := reviewer(t, f).Authenticate(t.Context(), jwt(expiry))
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if want := (Identity{Node: "n1", PodUID: "agent-1", Expiry: expiry}); err == nil && id != want {
				t.Errorf("got %+v, want %+v", id, want)
			}
		})
	}
}

func TestWhatCannotBeAValidTokenIsNotReviewed(t *testing.T) {
	f := &fakeReviews{answer: goodAnswer}
	r := reviewer(t, f)
	for _, token := range []string{"", "opaque", "a.b", "a.!!.c", "a.e30.c", "a.W10.c", jwt(time.Now().Add(-time.Second)), jwt(time.Unix(-5, 0))} {
		if _, err := r.Authenticate(t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%q: %v", token, err)
		}
	}
	if f.asked != 0 {
		t.Errorf("the API server was asked %d times", f.asked)
	}
}

func TestAnOutageOfTheAPIServerIsNoFinalAnswer(t *testing.T) {
	f := &fakeReviews{answer: goodAnswer, err: errors.New("connection refused")}
	_, err := reviewer(t, f).Authenticate(t.Context(), jwt(time.Now().Add(time.Hour)))
	if err == nil || errors.Is(err, ErrUnauthenticated) || errors.Is(err, ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestAReviewIsCachedForAMinuteAndNotBeyondTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeReviews{answer: goodAnswer}
		r := reviewer(t, f)
		long, short := jwt(time.Now().Add(time.Hour)), jwt(time.Now().Add(20*time.Second))
		check := func(token string, wantAsked int, wantErr error) {
			t.Helper()
			if _, err := r.Authenticate(t.Context(), token); !errors.Is(err, wantErr) || f.asked != wantAsked {
				t.Errorf("error %v, asked %d times; want %v, %d", err, f.asked, wantErr, wantAsked)
			}
		}
		check(long, 1, nil)
		check(short, 2, nil)
		check(long, 2, nil)
		check(short, 2, nil)
		time.Sleep(30 * time.Second)
		check(short, 2, ErrUnauthenticated)
		check(long, 2, nil)
		time.Sleep(30 * time.Second)
		check(long, 3, nil)
		f.answer = func(review *authenticationv1.TokenReview) { review.Status = authenticationv1.TokenReviewStatus{} }
		time.Sleep(time.Minute)
		check(long, 4, ErrUnauthenticated)
		check(long, 5, ErrUnauthenticated)
	})
}

func TestCachedReviewsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reviewer(t, &fakeReviews{answer: goodAnswer})
		for i := range maxCachedReviews + 100 {
			if _, err := r.Authenticate(t.Context(), jwt(time.Now().Add(time.Hour+time.Duration(i)*time.Second))); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(r.cached); n != maxCachedReviews {
			t.Errorf("%d reviews cached", n)
		}
		time.Sleep(2 * time.Minute)
		if _, err := r.Authenticate(t.Context(), jwt(time.Now().Add(time.Minute))); err != nil {
			t.Fatal(err)
		}
		if n := len(r.cached); n != 1 {
			t.Errorf("%d reviews cached after they expired, want 1", n)
		}
	})
}
