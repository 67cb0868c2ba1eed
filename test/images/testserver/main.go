// Command testserver is the other side of every end-to-end story: an upstream that fails as requests ask it to, a caller that counts
// what it gets, and the tools a test needs inside a pod whose image holds nothing else.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: testserver serve|collect|authproxy|call|grpc|load|raw|dial|get|kill [flags]

  serve  answer HTTP as the query string says (see serve.go), echo raw TCP, and more if asked to
  collect  receive spans over OTLP, and show them
  authproxy  forward what comes with a name and a password
  call   make calls and print one JSON summary
  grpc   make gRPC calls and print the status of each
  load   make calls for ever and print one line a second: what the demo shows
  raw    send standard input to an address and print what comes back
  dial   connect to an address, say nothing, and print what becomes of the connection
  get    print the body of one GET
  kill   send a signal to the processes of one container (needs hostPID)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:])
	case "collect":
		return collect(ctx, args[1:])
	case "authproxy":
		return authproxy(ctx, args[1:])
	case "call":
		return call(ctx, args[1:])
	case "grpc":
		return grpcCall(ctx, args[1:], os.Stdout)
	case "load":
		return load(ctx, args[1:])
	case "raw":
		return raw(args[1:], os.Stdin, os.Stdout)
	case "dial":
		return dial(args[1:], os.Stdout)
	case "get":
		return get(ctx, args[1:], os.Stdout)
	case "kill":
		return kill(args[1:])
	default:
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
}
