package grpc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// serverVariable has this program be a server of the conformance suite: the one that it names, behind the proxy.
const serverVariable = "FAIRLEAD_GRPC_SERVER"

// traceVariable names the file that it makes as soon as a gRPC call was governed.
const traceVariable = "FAIRLEAD_GRPC_TRACE"

func TestMain(m *testing.M) {
	if server := os.Getenv(serverVariable); server != "" {
		if err := serveGoverned(server); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// program builds one of the module's tools and returns its path.
func program(t *testing.T, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(filepath.Dir(pkg))+"-"+filepath.Base(pkg))
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}
