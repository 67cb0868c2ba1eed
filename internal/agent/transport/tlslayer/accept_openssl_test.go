package tlslayer

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// openssl says what it thinks of a certificate by an alert, or is served.
func TestAcceptClientsOfOpenSSL(t *testing.T) {
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatal("there is no openssl, and REQUIRE_PRIVILEGED=1 says that nothing may be skipped")
		}
		t.Skip("NOT RUN: there is no openssl")
	}
	a := tlstest.New(t)
	roots := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(roots, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		flags []string
		alert uint8 // 0: it is served
	}{
		"trusts":           {[]string{"-CAfile", roots, "-tls1_3"}, 0},
		"trusts, TLS 1.2":  {[]string{"-CAfile", roots, "-tls1_2"}, 0},
		"does not":         {[]string{"-no-CAfile", "-no-CApath", "-no-CAstore", "-tls1_3"}, 48},
		"does not, either": {[]string{"-no-CAfile", "-no-CApath", "-no-CAstore", "-tls1_2"}, 48},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			to := accepting(t, serverConfig(a), patience, func(c *transport.Conn, l *Layer, err error) {
				ended <- err
				returning(c, l, err)
			})
			args := append([]string{"s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-servername", host, "-connect", to.String()}, tc.flags...)
			cmd := exec.CommandContext(t.Context(), path, args...)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = in.Close(); _ = cmd.Wait() }()
			err = <-ended
			if tc.alert == 0 {
				_, _ = io.WriteString(in, "hello\n")
				got := make([]byte, 6)
				if _, failed := io.ReadFull(out, got); err != nil || failed != nil || !strings.HasPrefix(string(got), "hello") {
					t.Errorf("got %q, %v, %v", got, err, failed)
				}
				return
			}
			var distrust *Distrust
			if !errors.As(err, &distrust) || distrust.Alert != tc.alert {
				t.Errorf("got %v", err)
			}
		})
	}
}
