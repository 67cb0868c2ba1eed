package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
	"fairlead.dev/fairlead/internal/policy"
)

// nginx starts a server that verifies its clients, and closes each connection after five requests.
func nginx(t *testing.T, a *tlstest.Authority) netip.AddrPort {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatal("there is no nginx, and REQUIRE_PRIVILEGED=1 says that nothing may be skipped")
		}
		t.Skip("NOT RUN: there is no nginx")
	}
	dir := t.TempDir()
	if os.Getuid() == 0 { // its worker is somebody else
		for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	addr := netip.MustParseAddrPort(l.Addr().String())
	certificate, key := tlstest.PEMs(t, a.Issue(nil, apiHost))
	files := map[string][]byte{"tls.crt": certificate, "tls.key": key, "ca.crt": a.PEM(), "large": bytes.Repeat([]byte("large"), 200_000)}
	files["nginx.conf"] = fmt.Appendf(nil, `
daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1;
events {}
http {
  access_log off; keepalive_requests 5; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen %[2]s ssl; root %[1]s;
    ssl_certificate tls.crt; ssl_certificate_key tls.key; ssl_client_certificate ca.crt; ssl_verify_client on; ssl_session_cache shared:s:1m; ssl_protocols TLSv1.2 TLSv1.3;
    location = /who { return 200 "$ssl_protocol $ssl_server_name $ssl_client_verify $ssl_session_reused"; }
  }
}`, dir, addr)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, path, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var log bytes.Buffer
	cmd.Stderr = &log
	cmd.ExtraFiles, cmd.Env = []*os.File{socket}, append(os.Environ(), "NGINX=3;") // it takes the socket over, as in an upgrade
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	poll(t, func() bool {
		c, err := net.Dial("tcp", addr.String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return addr
}

// A server as people run it: client certificates, resumption, connections that end by its own rules, large answers.
func TestOriginateToNginx(t *testing.T) {
	a := tlstest.New(t)
	w := build(t, nginx(t, a))
	w.trust(a)
	w.present(a.Issue(nil, "pod.example"))
	w.install(toTLS(func(b *policy.Binding) { b.To.TLS.Certificate = "client" }))
	c := w.dial()
	reused := 0
	for range 30 {
		res, body := c.getAPI("/who")
		if res.StatusCode != 200 || !strings.HasPrefix(body, "TLSv1.3 api.example SUCCESS") {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
		if strings.HasSuffix(body, " r") {
			reused++
		}
		if res.Close { // as without us
			c = w.dial()
		}
	}
	if reused == 0 || w.dialer.dials.Load() < 5 {
		t.Errorf("%d answers on resumed sessions, %d connections", reused, w.dialer.dials.Load())
	}
	if res, body := c.getAPI("/large"); res.StatusCode != 200 || len(body) != 1_000_000 {
		t.Errorf("got %d and %d bytes", res.StatusCode, len(body))
	}
}
