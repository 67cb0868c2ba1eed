package distribute

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Extra fields of a token bound to a pod, as the API server reports them.
const (
	extraNode   = "authentication.kubernetes.io/node-name"
	extraPodUID = "authentication.kubernetes.io/pod-uid"
)

const (
	// reviewTTL is how long a successful review counts without asking again; it bounds how long a deleted agent's token still
	// opens streams.
	reviewTTL = time.Minute
	// maxCachedReviews bounds the cached reviews. An agent opens two streams, one after the other: all agents must fit, or each asks twice.
	maxCachedReviews = 16384
	// maxInFlightReviews bounds the reviews in progress, so that unauthenticated peers cannot cause a flood of them.
	maxInFlightReviews = 32
	// reviewTimeout bounds the wait for the API server's answer.
	reviewTimeout = 10 * time.Second
)

// TokenReviewOptions configure a TokenReviewer.
type TokenReviewOptions struct {
	// Client creates TokenReviews; a controller-runtime client does.
	Client interface {
		Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error
	}
	// Audience is what agents' tokens are made for.
	Audience string
	// Namespace and ServiceAccount name the agents' account.
	Namespace, ServiceAccount string
}

// TokenReviewer authenticates agents by asking the API server.
type TokenReviewer struct {
	opts     TokenReviewOptions // immutable after NewTokenReviewer
	inFlight chan struct{}      // one entry per review in progress

	mu sync.Mutex
	// guarded by mu
	cached map[[sha256.Size]byte]cachedReview
}

type cachedReview struct {
	identity Identity
	until    time.Time
}

var _ Authenticator = (*TokenReviewer)(nil)

// NewTokenReviewer returns an authenticator.
func NewTokenReviewer(opts TokenReviewOptions) (*TokenReviewer, error) {
	if opts.Client == nil || opts.Audience == "" || opts.Namespace == "" || opts.ServiceAccount == "" {
		return nil, errors.New("distribute: a token reviewer needs a client, an audience and the agents' service account")
	}
	return &TokenReviewer{
		opts: opts, inFlight: make(chan struct{}, maxInFlightReviews), cached: map[[sha256.Size]byte]cachedReview{},
	}, nil
}

// Authenticate implements Authenticator.
func (t *TokenReviewer) Authenticate(ctx context.Context, token string) (Identity, error) {
	key, now := sha256.Sum256([]byte(token)), time.Now()
	if id, ok := t.lookup(key, now); ok {
		return id, nil
	}
	// The claims are not verified yet; they can only spare the API server a question whose answer is known.
	expiry, ok := claimedExpiry(token)
	if !ok || !now.Before(expiry) {
		return Identity{}, fmt.Errorf("%w: not a token, or expired", ErrUnauthenticated)
	}
	select {
	case t.inFlight <- struct{}{}:
		defer func() { <-t.inFlight }()
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{t.opts.Audience}}}
	if err := t.opts.Client.Create(ctx, review); err != nil {
		return Identity{}, fmt.Errorf("review token: %w", err)
	}
	id, err := t.identityOf(&review.Status)
	if err != nil {
		return Identity{}, err
	}
	id.Expiry = expiry
	t.store(key, now, id)
	return id, nil
}

func (t *TokenReviewer) identityOf(s *authenticationv1.TokenReviewStatus) (Identity, error) {
	switch want := "system:serviceaccount:" + t.opts.Namespace + ":" + t.opts.ServiceAccount; {
	case !s.Authenticated:
		return Identity{}, fmt.Errorf("%w: %s", ErrUnauthenticated, s.Error)
	case !slices.Contains(s.Audiences, t.opts.Audience):
		// An authenticator that does not know audiences answers without any; the token could then be one meant for anybody.
		return Identity{}, fmt.Errorf("%w: audiences %q", ErrUnauthenticated, s.Audiences)
	case s.User.Username != want:
		return Identity{}, fmt.Errorf("%w: user %q", ErrForbidden, s.User.Username)
	}
	id := Identity{Node: single(s.User.Extra[extraNode]), PodUID: single(s.User.Extra[extraPodUID])}
	if id.Node == "" || id.PodUID == "" {
		return Identity{}, fmt.Errorf("%w: the token is bound to no pod or no node", ErrForbidden)
	}
	return id, nil
}

func single(v authenticationv1.ExtraValue) string {
	if len(v) != 1 {
		return ""
	}
	return v[0]
}

func (t *TokenReviewer) lookup(key [sha256.Size]byte, now time.Time) (Identity, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.cached[key]
	return v.identity, ok && now.Before(v.until)
}

func (t *TokenReviewer) store(key [sha256.Size]byte, now time.Time, id Identity) {
	until := now.Add(reviewTTL)
	if id.Expiry.Before(until) {
		until = id.Expiry
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cached) >= maxCachedReviews {
		for k, v := range t.cached {
			if !now.Before(v.until) {
				delete(t.cached, k)
			}
		}
	}
	if len(t.cached) < maxCachedReviews {
		t.cached[key] = cachedReview{identity: id, until: until}
	}
}

// claimedExpiry reads the exp claim of a JWT (RFC 7519 section 4.1.4) without verifying anything.
func claimedExpiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp int64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}, false
	}
	return time.Unix(claims.Exp, 0), true
}
