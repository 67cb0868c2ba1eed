// Command probe is what the cluster's own test runs in pods: a server that tells its name, and a
// client for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "serve":
		return serve()
	case len(args) == 3 && args[0] == "get":
		return get(args[1], args[2])
	case len(args) == 2 && args[0] == "list":
		return list(args[1])
	case len(args) == 2 && args[0] == "stat":
		_, err := os.Stat(args[1])
		return err
	case len(args) == 2 && args[0] == "write":
		return os.WriteFile(args[1], nil, 0o600)
	default:
		return errors.New("usage: serve | get tcp4|tcp6 URL | list DIR | stat FILE | write FILE")
	}
}

func serve() error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	fmt.Println("serving as", host)
	return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", host, r.RemoteAddr)
	}))
}

// get prints what the URL answers, over one IP family.
func get(network, url string) error {
	dialer := &net.Dialer{}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, addr)
		},
	}}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

func list(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		fmt.Println(e.Name())
	}
	return err
}
