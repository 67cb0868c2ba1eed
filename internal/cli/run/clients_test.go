package run

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// clients are programs that this binary can be.
var clients = map[string]func(args []string) error{
	"go":    goClient,
	"grpc":  grpcClient,
	"lines": linesClient,

	"signals": signalsClient,
}

// goClient makes calls METHOD URL ... on one connection, where there can be one, and prints their statuses.
func goClient(args []string) error {
	for ; len(args) >= 2; args = args[2:] {
		r, err := http.NewRequest(args[0], args[1], strings.NewReader("body"))
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil {
			return err
		}
		fmt.Println(res.StatusCode)
	}
	return nil
}

// grpcClient asks a target for its health, and prints it.
func grpcClient(args []string) error {
	conn, err := grpc.NewClient(args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	res, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	fmt.Println(res.GetStatus())
	return nil
}

// linesClient calls a URL for each line that it reads, and prints the status.
func linesClient(args []string) error {
	for {
		var line string
		if _, err := fmt.Scanln(&line); err != nil {
			return nil //nolint:nilerr // the end
		}
		if err := goClient([]string{"GET", args[0]}); err != nil {
			return err
		}
	}
}

// signalsClient says which signals it gets, until SIGUSR1.
func signalsClient([]string) error {
	got := make(chan os.Signal, 16)
	signal.Notify(got, syscall.SIGINT, syscall.SIGUSR1)
	fmt.Println("ready")
	for s := range got {
		fmt.Println(s)
		if s == syscall.SIGUSR1 {
			return nil
		}
	}
	return nil
}
