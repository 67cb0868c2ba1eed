package grpc

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(serverVariable); path != "" {
		if err := runServer(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// The suites' programs.
const (
	interopClient      = "google.golang.org/grpc/interop/client"
	interopServer      = "google.golang.org/grpc/interop/server"
	connectConformance = "connectrpc.com/conformance/cmd/connectconformance"
	grpcServer         = "connectrpc.com/conformance/cmd/grpcserver"
	referenceServer    = "connectrpc.com/conformance/cmd/referenceserver"
)

// built are the paths of programs by their packages.
var built sync.Map

// program builds one of the suites' programs, unless that was done before, and returns its path.
func program(t testing.TB, pkg string) string {
	t.Helper()
	if path, ok := built.Load(pkg); ok {
		return path.(string)
	}
	tool := exec.CommandContext(t.Context(), "go", "tool", "-n", pkg) // builds it, and says where it is
	tool.Env = append(os.Environ(), "CGO_ENABLED=0")
	tool.Stderr = os.Stderr
	out, err := tool.Output()
	check(t, err)
	path := strings.TrimSpace(string(out))
	built.Store(pkg, path)
	return path
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
