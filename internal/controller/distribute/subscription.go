package distribute

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fairlead.dev/fairlead/internal/wire"
)

// message is what arrived on a subscription.
type message struct {
	hello wire.Hello
	ack   wire.Ack
	err   error
}

// Subscribe serves one subscription; the rules are in distribution.proto.
func (v *Server) Subscribe(stream wire.SubscribeServer) error {
	ctx := stream.Context()
	g, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		return status.Error(codes.Unauthenticated, "not admitted")
	}
	inbox := v.receive(stream)
	hello, err := v.hello(ctx, g, inbox)
	if err != nil {
		return err
	}
	store, log := v.opts.Store, v.opts.Logger.With("node", g.Node, "agent", g.PodUID)
	c := store.attach(g.Node, g.PodUID, hello)
	log.InfoContext(ctx, "agent subscribed", "held", len(hello.Held))
	t := subscription{server: v, session: c, peer: g, received: inbox, updates: make(chan wire.Update, 1), sendEnded: make(chan error, 1)}
	v.wg.Go(func() { t.sendEnded <- send(ctx, stream, t.updates) })
	err = t.run(ctx)
	store.detach(c, time.Now())
	log.InfoContext(ctx, "agent left", "reason", err)
	return err
}

// receive reads the stream until it ends, which the handler's return brings about.
func (v *Server) receive(stream wire.SubscribeServer) <-chan message {
	inbox := make(chan message)
	ctx := stream.Context()
	deliver := func(m message) bool {
		select {
		case inbox <- m:
			return m.err == nil
		case <-ctx.Done():
			return false
		}
	}
	v.wg.Go(func() {
		hello, err := stream.RecvHello()
		for going := deliver(message{hello: hello, err: err}); going; {
			ack, err := stream.RecvAck()
			going = deliver(message{ack: ack, err: err})
		}
	})
	return inbox
}

// send writes updates to the stream. It has a goroutine of its own because a peer that does not read blocks it.
func send(ctx context.Context, stream wire.SubscribeServer, outbox <-chan wire.Update) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case u := <-outbox:
			for _, part := range u.Split() {
				if err := stream.Send(part); err != nil {
					return err
				}
			}
		}
	}
}

func (v *Server) hello(ctx context.Context, g peer, inbox <-chan message) (wire.Hello, error) {
	limit := time.NewTimer(v.opts.HelloTimeout)
	defer limit.Stop()
	select {
	case m := <-inbox:
		if m.err != nil {
			return wire.Hello{}, statusOf(m.err)
		}
		if m.hello.Node != g.Node {
			v.opts.Logger.WarnContext(ctx, "agent claims another node", "node", g.Node, "claimed", wire.Text(m.hello.Node))
			return wire.Hello{}, status.Error(codes.PermissionDenied, "the token is another node's")
		}
		return m.hello, nil
	case <-limit.C:
		return wire.Hello{}, status.Error(codes.DeadlineExceeded, "no hello in time")
	case <-g.stopped:
		return wire.Hello{}, status.Error(codes.Unavailable, "this replica no longer leads")
	case <-ctx.Done():
		return wire.Hello{}, status.FromContextError(ctx.Err()).Err()
	}
}

// subscription is the conversation after the hello.
type subscription struct {
	server  *Server
	session *session
	peer   peer
	received   <-chan message
	updates  chan wire.Update
	sendEnded  chan error // the sender's end
}

func (t *subscription) run(ctx context.Context) error {
	store := t.server.opts.Store
	expiry := t.peer.expiry()
	defer expiry.Stop()
	patience := time.NewTimer(t.server.opts.AckTimeout)
	patience.Stop()
	defer patience.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	waiting := false
	for {
		if !waiting {
			if wait := store.pause(t.session, time.Now()); wait > 0 {
				pause.Reset(wait)
			} else if u, any := store.next(t.session); any {
				t.updates <- u // has room: the update before was acknowledged, so the sender is done with it
				waiting = true
				patience.Reset(t.server.opts.AckTimeout)
			}
		}
		select {
		case <-t.session.wake:
		case <-pause.C:
		case m := <-t.received:
			if m.err != nil {
				return statusOf(m.err)
			}
			if err := store.acknowledge(t.session, m.ack); err != nil {
				return statusOf(err)
			}
			waiting = false
			patience.Stop()
		case err := <-t.sendEnded:
			return statusOf(err)
		case <-patience.C:
			return status.Error(codes.DeadlineExceeded, "no acknowledgement in time")
		case <-t.session.done:
			return statusOf(t.session.err)
		case <-t.peer.stopped:
			return status.Error(codes.Unavailable, "this replica no longer leads")
		case <-expiry.C:
			return status.Error(codes.Unauthenticated, "the token has expired")
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// statusOf turns an error into what the peer is told.
func statusOf(err error) error {
	switch {
	case errors.Is(err, wire.ErrMalformed), errors.Is(err, wire.ErrUnsupported), errors.Is(err, errProtocol):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, errReplaced):
		return status.Error(codes.Aborted, err.Error())
	case errors.Is(err, errOverflow):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return status.Convert(err).Err()
}
