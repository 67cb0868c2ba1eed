package proxy

import (
	"context"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/policy"
)

// Clients in several languages, which call apiHost at a port of this machine and print the body.
const (
	pythonClient = `
import socket, ssl, sys
raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s = ssl.create_default_context().wrap_socket(raw, server_hostname="api.example")
s.sendall(b"GET / HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n")
print(b"".join(iter(lambda: s.recv(4096), b"")).decode())
`
	nodeClient = `
require("https").get({host: "127.0.0.1", port: process.argv[2], servername: "api.example", headers: {Host: "api.example"}, agent: false},
  r => r.on("data", d => process.stdout.write(d))).on("error", e => { console.error(e.message); process.exit(1) })
`
	javaClient = `
import java.net.Socket;
import javax.net.ssl.*;
public class Client {
  public static void main(String[] args) throws Exception {
    var factory = (SSLSocketFactory) SSLSocketFactory.getDefault();
    var s = (SSLSocket) factory.createSocket(new Socket("127.0.0.1", Integer.parseInt(args[0])), "api.example", 443, true);
    var p = s.getSSLParameters();
    p.setEndpointIdentificationAlgorithm("HTTPS");
    s.setSSLParameters(p);
    s.getOutputStream().write("GET / HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n".getBytes());
    System.out.println(new String(s.getInputStream().readAllBytes()));
  }
}
`
)

// trustFiles are what docs/guides/tls.md has pods mount and make: the CA, a file with other roots too, and a key store of Java.
type trustFiles struct{ dir string }

func (f trustFiles) ca() string       { return filepath.Join(f.dir, "ca.crt") }
func (f trustFiles) bundle() string   { return filepath.Join(f.dir, "bundle.crt") }
func (f trustFiles) keyStore() string { return filepath.Join(f.dir, "cacerts") }

func newTrustFiles(t *testing.T, as twoCAs) trustFiles {
	t.Helper()
	f := trustFiles{t.TempDir()}
	for path, content := range map[string]string{
		f.ca(): string(as.egress.PEM()), f.bundle(): string(as.hosts.PEM()) + string(as.egress.PEM()),
		filepath.Join(f.dir, "client.py"): pythonClient, filepath.Join(f.dir, "client.js"): nodeClient, filepath.Join(f.dir, "Client.java"): javaClient,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// Programs trust the egress CA in the ways that docs/guides/tls.md says; and of each that does not it is seen. They are those that the tests of
// test/differential have as clients.
func TestProgramsThatTrustAndThatDoNot(t *testing.T) {
	as := authorities(t)
	files := newTrustFiles(t, as)
	for name, tc := range map[string]struct {
		programs []string
		args     func(port string) []string
		trust    []string // environment
	}{
		"curl": {[]string{"curl"}, func(port string) []string {
			return []string{"curl", "-sS", "--noproxy", "*", "--connect-to", apiHost + ":443:127.0.0.1:" + port, "https://" + apiHost + "/"}
		}, []string{"SSL_CERT_FILE=" + files.bundle()}},
		"Python": {[]string{"python3"}, func(port string) []string { return []string{"python3", filepath.Join(files.dir, "client.py"), port} },
			[]string{"SSL_CERT_FILE=" + files.bundle()}},
		"Node.js": {[]string{"node"}, func(port string) []string { return []string{"node", filepath.Join(files.dir, "client.js"), port} },
			[]string{"NODE_EXTRA_CA_CERTS=" + files.ca()}},
		"Java": {[]string{"java", "javac", "keytool"}, func(port string) []string {
			return []string{"java", filepath.Join(files.dir, "Client.java"), port}
		}, []string{"JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=" + files.keyStore() + " -Djavax.net.ssl.trustStorePassword=changeit"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range tc.programs {
				if _, err := exec.LookPath(p); err != nil {
					if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
						t.Fatalf("there is no %s, and REQUIRE_PRIVILEGED=1 says that nothing may be skipped; hack/deps.sh peers installs it", p)
					}
					t.Skipf("NOT RUN: there is no %s; hack/deps.sh peers installs it", p)
				}
			}
			if name == "Java" {
				out, err := run(t, nil, "keytool", "-importcert", "-noprompt", "-alias", "egress", "-file", files.ca(), "-keystore", files.keyStore(), "-storepass", "changeit")
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			w := intercepting(t, as, serveHTTPS(t, apiConfig(as.hosts), func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte("served over TLS"))
			}), toIntercept(func(b *policy.Binding) { b.To.TLS.PassAfter = 2 }))
			args := tc.args(portOf(w))
			if out, err := run(t, tc.trust, args...); err != nil || !strings.Contains(out, "served over TLS") {
				t.Errorf("trusts, and ends with %v: %s", err, out)
			}
			w.handshakes(routes.HandshakeDone, 1)
			if out, err := run(t, nil, args...); err == nil {
				t.Errorf("does not trust, and is served: %s", out)
			}
			w.handshakes(routes.HandshakeDistrusted, 1)
		})
	}
}

func portOf(w *testProxy) string {
	a := netip.MustParseAddrPort(w.captured.Addr().String())
	_, port, _ := strings.Cut(a.String(), ":")
	return port
}

// run runs a program to its end, with an environment of its own.
func run(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
