package distribute

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	maxTokenBytes = 16 << 10
	// authenticationTimeout bounds the wait for an answer about a token, and for its turn to be asked about. When thousands of agents come back at
	// once, those that wait keep their turn; an agent gives up a little later.
	authenticationTimeout = 25 * time.Second
)

// peer is who is on a stream, and until when.
type peer struct {
	Identity
	stopped <-chan struct{} // closed when this replica stops serving
}

type peerKey struct{}

// admittedStream carries the peer to the handler.
type admittedStream struct {
	grpc.ServerStream
	ctx context.Context // dies with the stream
}

func (s admittedStream) Context() context.Context { return s.ctx }

// admit asks, before a byte of the stream's content is read: does this replica lead, and is the peer an agent?
func (v *Server) admit(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	stopped, serving := v.opts.Store.serving.current()
	if !serving {
		return status.Error(codes.Unavailable, "this replica does not lead")
	}
	id, err := v.authenticate(stream.Context())
	if err != nil {
		return err
	}
	ctx := context.WithValue(stream.Context(), peerKey{}, peer{Identity: id, stopped: stopped})
	return handle(srv, admittedStream{ServerStream: stream, ctx: ctx})
}

func (v *Server) authenticate(ctx context.Context) (Identity, error) {
	token, ok := bearer(ctx)
	if !ok {
		return Identity{}, status.Error(codes.Unauthenticated, "a single bearer token is required")
	}
	ctx, cancel := context.WithTimeout(ctx, authenticationTimeout)
	defer cancel()
	id, err := v.opts.Authenticator.Authenticate(ctx, token)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		v.opts.Logger.WarnContext(ctx, "agent not authenticated", "err", err)
		return Identity{}, status.Error(codes.Unauthenticated, "the token is not valid here")
	case errors.Is(err, ErrForbidden):
		v.opts.Logger.WarnContext(ctx, "agent refused", "err", err)
		return Identity{}, status.Error(codes.PermissionDenied, "the token is not an agent's")
	case err != nil:
		v.opts.Logger.WarnContext(ctx, "authentication unavailable", "err", err)
		return Identity{}, status.Error(codes.Unavailable, "tokens cannot be checked now")
	case id.Node == "" || id.PodUID == "":
		return Identity{}, status.Error(codes.PermissionDenied, "the token is bound to no pod or no node")
	case !id.Expiry.IsZero() && !time.Now().Before(id.Expiry):
		return Identity{}, status.Error(codes.Unauthenticated, "the token has expired")
	}
	return id, nil
}

func bearer(ctx context.Context) (string, bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return "", false
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	return token, ok && token != "" && len(token) <= maxTokenBytes
}

// expiry returns a timer that fires when the token expires; it never does if that is unknown.
func (g peer) expiry() *time.Timer {
	if g.Expiry.IsZero() {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTimer(time.Until(g.Expiry))
}
