package run

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Programs that heed the usual variables have their calls governed, whatever they are written in.
func TestProgramsAreGoverned(t *testing.T) {
	const url = "http://inventory.warehouse/x"
	for name, command := range map[string][]string{
		"curl":            {"curl", "-sS", url},
		"curl, tunnelled": {"curl", "-sSp", url},
		"urllib":          {"python3", "-c", "import urllib.request; print(urllib.request.urlopen('" + url + "').read().decode())"},
		"Go":              self(t, "go", "GET", url),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skipf("SKIPPED: %v", err)
			}
			u := serve(t, 503, 502, 200)
			r := mustRun(t, append([]string{"-f", policy(t, toService, retrying), u.service(), "--"}, command...)...)
			if !strings.Contains(r.out, "200") {
				t.Errorf("the client has %q", r.out)
			}
			const each = "GET inventory.warehouse/x"
			if got, want := u.saw(), strings.Join([]string{each, each, each}, ", "); got != want {
				t.Errorf("the server has seen %s", got)
			}
			if !strings.Contains(r.err, "1 call in") || !strings.Contains(r.err, "service warehouse/inventory") {
				t.Errorf("the summary is\n%s", r.err)
			}
		})
	}
}

// What may have been processed is not sent again.
func TestNothingIsPostedTwice(t *testing.T) {
	u := serve(t, 503, 200)
	r := mustRun(t, append([]string{"-f", policy(t, toService, retrying), u.service(), "--"}, self(t, "go", "POST", "http://inventory.warehouse/x")...)...)
	if r.out != "503\n" || u.saw() != "POST inventory.warehouse/x" {
		t.Errorf("the client has %q, and the server has seen %s", r.out, u.saw())
	}
}

// A connection of a client's to the proxy is for whatever host it names next.
func TestOneClientCallsSeveralHosts(t *testing.T) {
	a, b := serve(t, 200), serve(t, 200)
	mustRun(t, append([]string{
		"-f", policy(t, toService, retrying), a.service(), "--service=other.warehouse:80=" + b.at(), "--",
	}, self(t, "go", "GET", "http://inventory.warehouse/1", "GET", "http://other.warehouse/2", "GET", "http://inventory.warehouse/3")...)...)
	if a.saw() != "GET inventory.warehouse/1, GET inventory.warehouse/3" || b.saw() != "GET other.warehouse/2" {
		t.Errorf("the servers have seen %s, and %s", a.saw(), b.saw())
	}
}

// health is a gRPC server that fails at first.
type health struct {
	healthpb.UnimplementedHealthServer
	calls atomic.Int64
}

func (h *health) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	if h.calls.Add(1) < 3 {
		return nil, status.Error(codes.Unavailable, "not yet")
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

func TestGRPCIsGoverned(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, h := grpc.NewServer(), &health{}
	healthpb.RegisterHealthServer(s, h)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-served })
	more := retrying + "\n    grpcStatuses: [UNAVAILABLE]\n    idempotency: {mode: Any}"
	r := mustRun(t, append([]string{
		"-f", policy(t, toService, more), "--service=inventory.warehouse:80=" + l.Addr().String(), "--",
	}, self(t, "grpc", "passthrough:///inventory.warehouse:80")...)...)
	if r.out != "SERVING\n" || h.calls.Load() != 3 {
		t.Errorf("the client has %q after %d calls", r.out, h.calls.Load())
	}
}

// TLS that the client speaks itself goes to the server as it is.
func TestTLSPassesThrough(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(s.Close)
	r := mustRun(t, "-f", policy(t, "{cidr: {block: 127.0.0.1/32}}", retrying), "--", "curl", "-sSk", "-o", "/dev/null", "-w", "%{http_code}", s.URL)
	if r.out != "418" || !strings.Contains(r.err, "passed 1 connection to cidr 127.0.0.1/32 through") {
		t.Errorf("the client has %q\n%s", r.out, r.err)
	}
}

// What a host is looked up as, and what cannot be, is said.
func TestUnknownHostsAreExplained(t *testing.T) {
	r := mustRun(t, "-f", policy(t, "{any: {}}", retrying), "--", "curl", "-sS", "-w", "%{http_code}", "http://nowhere.invalid/")
	if !strings.Contains(r.out, "502") || !strings.Contains(r.out, "nowhere.invalid") {
		t.Errorf("the client has %q\n%s", r.out, r.err)
	}
}

// A command that heeds no proxy calls a mapped port; the server is called by its own name.
func TestMappedPorts(t *testing.T) {
	for _, localhost := range []string{"127.0.0.1", "[::1]"} { // of which clients may call the first alone
		t.Run(localhost, func(t *testing.T) {
			if l, err := net.Listen("tcp", localhost+":0"); err != nil {
				t.Skipf("SKIPPED: %v", err)
			} else {
				_ = l.Close()
			}
			u := serve(t, 503, 200)
			port := freePort(t)
			r := mustRun(t, "-f", policy(t, toService, retrying), u.service(), "--map", port+"=inventory.warehouse:80", "--",
				"curl", "-sS", "--noproxy", "*", "http://"+localhost+":"+port+"/x")
			if r.out != "answered 200\n" || u.saw() != "GET inventory.warehouse/x, GET inventory.warehouse/x" {
				t.Errorf("the client has %q, and the server has seen %s", r.out, u.saw())
			}
		})
	}
}

// freePort is a port that nobody has, a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A dry run changes nothing, and says what it would have done.
func TestDryRunsAreSummedUp(t *testing.T) {
	u := serve(t, 503, 200)
	r := mustRun(t, "-f", policy(t, toService, "  mode: DryRun\n"+retrying), u.service(), "--", "curl", "-sS", "http://inventory.warehouse/x")
	if r.out != "answered 503\n" || u.saw() != "GET inventory.warehouse/x" {
		t.Errorf("the client has %q, and the server has seen %s", r.out, u.saw())
	}
	if !strings.Contains(r.err, "of 1 call it would have changed 1: 1 retried") {
		t.Errorf("the summary is\n%s", r.err)
	}
}

// Policies that cannot be used end the run before the command starts.
func TestNothingRunsUnderBadPolicies(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no policy":     {[]string{"--", "true"}, "say where they are with -f FILE"},
		"no command":    {[]string{"-f", "x"}, "write it behind --"},
		"no file":       {[]string{"-f", "/nowhere.yaml", "--", "true"}, "-f /nowhere.yaml: no such file or directory"},
		"no Service":    {[]string{"-f", policy(t, toService, ""), "--", "true"}, "--service inventory.warehouse:PORT=HOST:PORT"},
		"a bad map":     {[]string{"-f", policy(t, "{any: {}}", ""), "--map", "80", "--", "true"}, "write it as 8080=api.example:80"},
		"a bad capture": {[]string{"-f", policy(t, "{any: {}}", ""), "--capture=Maybe", "--", "true"}, "write Auto, Always or Never"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := run(t, tc.args...); r.code != 1 || !strings.Contains(r.err, tc.want) {
				t.Errorf("ended with %d:\n%s", r.code, r.err)
			}
		})
	}
}

// Whoever calls the proxy, which any program of the machine may, cannot have the terminal act on what it says.
func TestTerminalsAreNotActedOn(t *testing.T) {
	const script = `import os, socket
for request in (b"CONNECT a\x1bc\xc2\x9b31m:80 HTTP/1.1\r\n\r\n", b"GET http://127.0.0.1:1/\xc2\x9b31m HTTP/1.1\r\n\r\n"):
    s = socket.create_connection(("127.0.0.1", int(os.environ["http_proxy"].split(":")[2])))
    s.sendall(request)
    while s.recv(4096):
        pass
`
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	r := mustRun(t, "-f", policy(t, "{any: {}}", "  observability: {accessLog: All}"), "--access-log=-", "--", "python3", "-c", script)
	if strings.ContainsAny(r.err, "\x1b\u009b") || !strings.Contains(r.err, `there is no host a\x1bc\u009b31m`) || !strings.Contains(r.err, `"path":"/\u009b31m"`) {
		t.Errorf("it says %q", r.err)
	}
}
