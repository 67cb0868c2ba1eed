package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// grpcClient is the command of a program that makes n calls with metadata, name=value, and prints the status of each. Its transport is "plain" or
// "tls".
type grpcClient func(transport, target, method, seconds string, n int, metadata ...string) []string

// grpcJars are what a client in Java needs of gRPC, as Debian has it.
var grpcJars = []string{"grpc-api", "grpc-context", "grpc-core", "grpc-netty", "grpc-stub", "netty-buffer", "netty-codec", "netty-codec-http",
	"netty-codec-http2", "netty-common", "netty-handler", "netty-resolver", "netty-transport", "perfmark-api", "guava"}

// javaClasses is where Java finds the stories' own classes, and gRPC.
var javaClasses = "/scratch/classes:/usr/share/java/" + strings.Join(grpcJars, ".jar:/usr/share/java/") + ".jar"

// compile compiles programs in Java where the client runs.
func (p *programs) compile(ctx context.Context, classes ...string) {
	GinkgoHelper()
	args := []string{"javac", "-J-XX:TieredStopAtLevel=1", "-cp", javaClasses, "-d", "/scratch/classes"}
	for _, c := range classes {
		args = append(args, "/programs/"+c+".java")
	}
	p.run(ctx, args...)
}

var grpcClients = map[string]grpcClient{
	"Go": func(transport, target, method, seconds string, n int, metadata ...string) []string {
		args := []string{testserver, "grpc", "-target", target, "-method", method, "-timeout", seconds + "s", "-n", fmt.Sprint(n)}
		if transport == "tls" {
			args = append(args, "-tls")
		}
		for _, m := range metadata {
			args = append(args, "-metadata", m)
		}
		return args
	},
	"Python": scripted("/usr/bin/python3", "/programs/grpc_client.py"),
	"Java":   scripted("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", javaClasses, "GrpcCalls"),
}

// scripted is a client that is called as grpc_client.py is.
func scripted(program ...string) grpcClient {
	return func(transport, target, method, seconds string, n int, metadata ...string) []string {
		args := append(append([]string{}, program...), transport, target, method, fmt.Sprint(n), seconds)
		return append(args, metadata...)
	}
}

func grpcEntries(each func(ctx context.Context, call grpcClient)) []any {
	args := []any{each}
	for _, name := range slices.Sorted(maps.Keys(grpcClients)) {
		args = append(args, Entry(name, grpcClients[name], NodeTimeout(time.Minute)))
	}
	return args
}

// healedGRPC makes calls of which the server fails some with UNAVAILABLE, of one message and of many, and expects that the client gets none of
// these: three calls that end well.
func (p *programs) healedGRPC(ctx context.Context, call grpcClient, transport, target, key, scheme string) {
	GinkgoHelper()
	Expect(p.run(ctx, call(transport, target, "Say", "60", 2, "key="+key, "fail-first=2")...)).To(Equal([]string{"OK", "OK"}), target)
	saw := p.saw(ctx, key)
	Expect(saw.Requests).To(Equal(4), "two calls, and two retries, to "+target)
	if scheme != "" {
		Expect(saw.LastHeader).To(HaveKeyWithValue("x-scheme", []string{scheme}), "TLS is spoken to "+target)
	}
	stream := key + "-stream"
	Expect(p.run(ctx, call(transport, target, "Count", "60", 1, "key="+stream, "fail-first=1", "messages=5")...)).To(Equal([]string{"OK"}), target)
	saw = p.saw(ctx, stream)
	Expect(saw.Requests).To(Equal(2), "a stream of the server's, and its retry, to "+target)
	Expect(saw.LastHeader).To(HaveKeyWithValue("grpc-previous-rpc-attempts", []string{"1"}))
}
