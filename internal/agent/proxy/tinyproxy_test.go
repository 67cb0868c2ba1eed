package proxy

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// runTinyproxy runs a proxy of Debian's, and returns its port. hack/deps.sh installs it.
func runTinyproxy(t *testing.T) uint16 {
	t.Helper()
	program, err := exec.LookPath("tinyproxy")
	if err != nil {
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatal("tinyproxy is not installed: make test-deps")
		}
		t.Skip("tinyproxy is not installed")
	}
	for range 5 { // somebody else may take the port before it does
		if port, ok := tryTinyproxy(t, program); ok {
			return port
		}
	}
	t.Fatal("tinyproxy does not start")
	return 0
}

func tryTinyproxy(t *testing.T, program string) (port uint16, ok bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr)
	l.Close()
	config := filepath.Join(t.TempDir(), "tinyproxy.conf")
	text := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nLogLevel Error\n", at.Port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-c", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if c, err := net.Dial("tcp", at.String()); err == nil {
			c.Close()
			return uint16(at.Port), true
		}
		select {
		case <-ended:
			return 0, false
		case <-again.C:
		}
	}
}
