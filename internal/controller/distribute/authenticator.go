package distribute

import (
	"context"
	"errors"
	"time"
)

// Identity is who an agent is, by its token.
type Identity struct {
	Node   string    // the node its pod is bound to
	PodUID string    // the agent's pod
	Expiry time.Time // of the token; its streams end then. Zero if unknown
}

// Authenticator finds out who presents a token. An error that is ErrUnauthenticated or ErrForbidden is final; any other means
// that it could not be found out now.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Identity, error)
}

// The final answers of an Authenticator.
var (
	// ErrUnauthenticated: the token is not valid, expired, or for another audience.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: the token is valid, but not an agent's.
	ErrForbidden = errors.New("not an agent")
)
