package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// echoService is what the client calls; the server answers every method of every service.
const echoService = "/fairlead.e2e.Echo/"

// bytesCodec sends and receives messages as they are: []byte.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "bytes" }

func (bytesCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return *b, nil
}

func (bytesCodec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	*b = append([]byte(nil), data...)
	return nil
}

// grpcServer answers every method with the messages it receives. Metadata asks for more: key is what the call is counted under, fail-first how many
// of them fail with UNAVAILABLE, pushback what these say of another attempt (grpc-retry-pushback-ms), delay how long to wait before answering, and messages how many times the first message is sent back. What is
// left of the call's time when it comes is counted as a header of it: time-left.
func (u *upstream) grpcServer() *grpc.Server {
	return grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		if end, ok := s.Context().Deadline(); ok {
			md.Set("time-left", time.Until(end).String())
		}
		fails := u.enterGRPC(md)
		var m []byte
		if err := s.RecvMsg(&m); err != nil && !errors.Is(err, io.EOF) {
			return err // as servers of unary calls do, it has the whole request before it answers
		}
		if fails {
			if wait := first(md, "pushback"); wait != "" {
				s.SetTrailer(metadata.Pairs("grpc-retry-pushback-ms", wait))
			}
			return status.Error(codes.Unavailable, "as asked for")
		}
		if d, err := time.ParseDuration(first(md, "delay")); err == nil {
			if pause(s.Context(), d); s.Context().Err() != nil {
				return status.FromContextError(s.Context().Err()).Err() // and not the answer, for which it is too late
			}
		}
		for range messages(md) - 1 {
			if err := s.SendMsg(&m); err != nil {
				return err
			}
		}
		return echoMessages(s, m)
	}))
}

// messages is how many messages a call's metadata asks for: one, if it does not.
func messages(md metadata.MD) int {
	n, err := strconv.Atoi(first(md, "messages"))
	if err != nil {
		return 1
	}
	return n
}

// echoMessages sends back the first message, and those that follow.
func echoMessages(s grpc.ServerStream, m []byte) error {
	for {
		if err := s.SendMsg(&m); err != nil {
			return err
		}
		if err := s.RecvMsg(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// enterGRPC counts a call and decides whether it is one of those that fail.
func (u *upstream) enterGRPC(md metadata.MD) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.under(first(md, "key"))
	s.Requests++
	s.LastHeader = http.Header(md)
	firstN, _ := strconv.Atoi(first(md, "fail-first"))
	if s.Requests > firstN {
		return false
	}
	s.Failed++
	return true
}

func (u *upstream) serveGRPC(ctx context.Context, l net.Listener) {
	srv := u.grpcServer()
	context.AfterFunc(ctx, srv.Stop)
	_ = srv.Serve(l)
}

// grpcCall makes calls one after another on one connection and prints a line with the status of each. Metadata that asks for messages makes them
// streams of the server's.
func grpcCall(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("grpc", flag.ContinueOnError)
	target := fs.String("target", "", "host:port to call")
	method := fs.String("method", "Say", "method to call")
	n := fs.Int("n", 1, "number of calls")
	timeout := fs.Duration("timeout", 30*time.Second, "deadline of each call; 0 for none")
	secure := fs.Bool("tls", false, "speak TLS, and verify the server with the roots of the system")
	var md headerFlags
	fs.Var(&md, "metadata", "name=value (repeatable)")
	if err := fs.Parse(args); err != nil {
		return err
	}
	transport := insecure.NewCredentials()
	if *secure {
		transport = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient(*target, grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer conn.Close()
	for range *n {
		fmt.Fprintln(out, nameOf(echo(ctx, conn, echoService+*method, *timeout, pairs(md))))
	}
	return nil
}

// echo makes one call and returns its status: DATA_LOSS where other messages came than were asked for.
func echo(ctx context.Context, conn *grpc.ClientConn, method string, timeout time.Duration, md metadata.MD) codes.Code {
	if timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, timeout)
		defer stop()
	}
	ctx = metadata.NewOutgoingContext(ctx, md)
	in, got := []byte("hello"), []byte(nil)
	if first(md, "messages") != "" {
		err := stream(ctx, conn, method, in, messages(md))
		return status.Code(err)
	}
	err := conn.Invoke(ctx, method, &in, &got, grpc.ForceCodec(bytesCodec{}))
	if err == nil && string(got) != string(in) {
		return codes.DataLoss
	}
	return status.Code(err)
}

// stream makes one call that the server answers with n messages.
func stream(ctx context.Context, conn *grpc.ClientConn, method string, in []byte, n int) error {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, grpc.ForceCodec(bytesCodec{}))
	if err != nil {
		return err
	}
	if err := s.SendMsg(&in); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for got := 0; ; got++ {
		var m []byte
		switch err := s.RecvMsg(&m); {
		case errors.Is(err, io.EOF) && got == n:
			return nil
		case errors.Is(err, io.EOF):
			return status.Errorf(codes.DataLoss, "%d messages", got)
		case err != nil:
			return err
		case string(m) != string(in):
			return status.Errorf(codes.DataLoss, "another message: %q", m)
		}
	}
}

// pairs makes metadata of name=value.
func pairs(flags []string) metadata.MD {
	md := metadata.MD{}
	for _, f := range flags {
		name, value, _ := strings.Cut(f, "=")
		md.Append(name, value)
	}
	return md
}

// nameOf spells a status as gRPC does, such as DEADLINE_EXCEEDED.
func nameOf(c codes.Code) string {
	var name strings.Builder
	for i, r := range c.String() {
		if c != codes.OK && i > 0 && unicode.IsUpper(r) {
			name.WriteByte('_')
		}
		name.WriteRune(unicode.ToUpper(r))
	}
	return name.String()
}
