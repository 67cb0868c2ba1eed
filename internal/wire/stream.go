package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Server is what the manager implements. Its methods own the stream until they return.
type Server interface {
	Subscribe(SubscribeServer) error
	Report(ReportServer) error
}

// Register announces s on a gRPC server.
func Register(r grpc.ServiceRegistrar, s Server) {
	pb.RegisterDistributionServer(r, adapter{server: s})
}

type adapter struct {
	pb.UnimplementedDistributionServer
	server Server
}

func (a adapter) Subscribe(s grpc.BidiStreamingServer[pb.SubscribeRequest, pb.Update]) error {
	return a.server.Subscribe(SubscribeServer{s})
}

func (a adapter) Report(s grpc.BidiStreamingServer[pb.ReportRequest, pb.ReportAck]) error {
	return a.server.Report(ReportServer{s})
}

// SubscribeServer is the manager's end of a subscription. One goroutine may send while another receives.
type SubscribeServer struct {
	stream grpc.BidiStreamingServer[pb.SubscribeRequest, pb.Update]
}

// Context returns the stream's context.
func (s SubscribeServer) Context() context.Context { return s.stream.Context() }

// RecvHello waits for the first message.
func (s SubscribeServer) RecvHello() (Hello, error) {
	m, err := s.stream.Recv()
	if err != nil {
		return Hello{}, err
	}
	return helloFromProto(m)
}

// Recv waits for the next message after the first.
func (s SubscribeServer) Recv() (FromAgent, error) {
	m, err := s.stream.Recv()
	if err != nil {
		return FromAgent{}, err
	}
	return messageFromProto(m)
}

// Send sends one part of an update.
func (s SubscribeServer) Send(u Update) error { return s.stream.Send(updateToProto(u)) }

// ReportServer is the manager's end of a report stream.
type ReportServer struct {
	stream grpc.BidiStreamingServer[pb.ReportRequest, pb.ReportAck]
}

// Context returns the stream's context.
func (s ReportServer) Context() context.Context { return s.stream.Context() }

// Recv waits for the next report.
func (s ReportServer) Recv() (Report, error) {
	m, err := s.stream.Recv()
	if err != nil {
		return Report{}, err
	}
	return reportRequestFromProto(m)
}

// Ack acknowledges reports.
func (s ReportServer) Ack(a ReportAck) error { return s.stream.Send(reportAckToProto(a)) }

// Client opens streams to a manager.
type Client struct{ client pb.DistributionClient }

// NewClient returns a client on conn.
func NewClient(conn grpc.ClientConnInterface) Client { return Client{pb.NewDistributionClient(conn)} }

// Subscribe opens a subscription with h. The stream ends with ctx.
func (c Client) Subscribe(ctx context.Context, h Hello) (SubscribeClient, error) {
	s, err := c.client.Subscribe(ctx)
	if err != nil {
		return SubscribeClient{}, fmt.Errorf("open subscription: %w", err)
	}
	sub := SubscribeClient{stream: s, sending: new(sync.Mutex)}
	if err := sub.send(helloToProto(h)); err != nil {
		return SubscribeClient{}, fmt.Errorf("open subscription: %w", err)
	}
	return sub, nil
}

// Report opens a report stream. The stream ends with ctx.
func (c Client) Report(ctx context.Context) (ReportClient, error) {
	s, err := c.client.Report(ctx)
	if err != nil {
		return ReportClient{}, fmt.Errorf("open report stream: %w", err)
	}
	return ReportClient{s}, nil
}

// SubscribeClient is the agent's end of a subscription. One goroutine may receive while others send.
type SubscribeClient struct {
	stream  grpc.BidiStreamingClient[pb.SubscribeRequest, pb.Update]
	sending *sync.Mutex // is held while a message is sent
}

// Recv waits for the next part of an update.
func (s SubscribeClient) Recv() (Update, error) {
	m, err := s.stream.Recv()
	if err != nil {
		return Update{}, err
	}
	return updateFromProto(m)
}

// RecvWhole waits for all parts of the next update and returns them as one. What it holds meanwhile is bounded by
// MaxHeld resources and maxBytes of payload. Updates about no resources, which come between others, it hands to aside.
func (s SubscribeClient) RecvWhole(maxBytes int, aside func(Update)) (Update, error) {
	var whole Update
	size := 0
	for first := true; ; {
		part, err := s.Recv()
		if err != nil {
			return Update{}, err
		}
		if part.Nonce == 0 {
			if aside != nil {
				aside(part)
			}
			continue
		}
		if !first && part.Nonce != whole.Nonce {
			return Update{}, fmt.Errorf("%w: part of update %d within update %d", ErrMalformed, part.Nonce, whole.Nonce)
		}
		for _, r := range part.Set {
			if size += len(r.Payload); r.Patch != nil {
				size += r.Patch.size()
			}
		}
		whole.Nonce, first = part.Nonce, false
		whole.Set = append(whole.Set, part.Set...)
		whole.Removed = append(whole.Removed, part.Removed...)
		whole.SnapshotComplete = part.SnapshotComplete
		if size > maxBytes || len(whole.Set) > MaxHeld || len(whole.Removed) > MaxHeld {
			return Update{}, fmt.Errorf("%w: %w: update of %d resources, %d bytes", ErrMalformed, errTooLarge, len(whole.Set), size)
		}
		if !part.More {
			return whole, nil
		}
	}
}

var errTooLarge = errors.New("too large")

// Ack acknowledges an update.
func (s SubscribeClient) Ack(a Ack) error { return s.send(ackToProto(a)) }

// ReportBreakers says how the node sees breakers that the cluster shares; at most MaxBreakers at once. The goroutine that receives learns why if the
// stream has ended.
func (s SubscribeClient) ReportBreakers(list []policy.BreakerReport) error {
	m, err := breakerReportsToProto(list)
	if err != nil {
		return err
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.stream.Send(m)
}

// send sends m. When the stream has ended, Send hides why and Recv returns it.
func (s SubscribeClient) send(m *pb.SubscribeRequest) error {
	s.sending.Lock()
	err := s.stream.Send(m)
	s.sending.Unlock()
	for errors.Is(err, io.EOF) {
		if _, cause := s.stream.Recv(); cause != nil {
			return cause
		}
	}
	return err
}

// ReportClient is the agent's end of a report stream. One goroutine may send while another receives.
type ReportClient struct {
	stream grpc.BidiStreamingClient[pb.ReportRequest, pb.ReportAck]
}

// Send sends a report.
func (s ReportClient) Send(r Report) error {
	m, err := reportRequestToProto(r)
	if err != nil {
		return err
	}
	return s.stream.Send(m)
}

// RecvAck waits for the next acknowledgement.
func (s ReportClient) RecvAck() (ReportAck, error) {
	m, err := s.stream.Recv()
	if err != nil {
		return ReportAck{}, err
	}
	return reportAckFromProto(m), nil
}
