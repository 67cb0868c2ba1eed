package drive

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/agent/upstream"
)

// Speaks returns which protocol (an ALPN) the host of a route chooses that is offered HTTP/2 and HTTP/1.1; empty: it cannot be found out before
// the context ends. The connection that takes, if it is not known, is one of the pool's, within its limits. It is kept if it is for HTTP/1.1,
// and serves the client's first request.
func Speaks(ctx context.Context, r *routes.Route, client *Client, pinned bool) string {
	return r.Speaks(ctx, func(ctx context.Context) {
		if r.ByName() && !r.RefreshName(time.Now()) {
			r.FindAddresses(ctx)
		}
		limits := &r.Base().Timeouts
		q := upstream.Request{
			Original: r.Connects(client.Original), Pinned: pinned, Fresh: true, Either: true, Client: client.ID, Turn: client.Share.Turn,
			ConnectTimeout: limits.Connect, HandshakeTimeout: limits.TLSHandshake, Wake: func() {},
		}
		if answer, _ := r.Pool.Acquire(time.Now(), &q); answer != upstream.Dial {
			r.Pool.Cancel(time.Now(), &q)
			return
		}
		if l, err := dial(ctx, r.Pool, &q, r, r.Base().Retry.AvoidPreviousEndpoints); err == nil {
			l.Release(time.Now(), l.Info().ALPN != tlslayer.HTTP2)
		}
	})
}
