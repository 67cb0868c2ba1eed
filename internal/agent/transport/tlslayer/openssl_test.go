package tlslayer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/transport"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer/tlstest"
)

// sServer is a server of OpenSSL, which does what crypto/tls's does not offer. It sends the lines that it is given, and some letters
// are commands.
type sServer struct {
	t      testing.TB
	stdin  io.WriteCloser
	stdout *bufio.Reader
	addr   netip.AddrPort
}

func openssl(t *testing.T, a *tlstest.Authority, flags ...string) *sServer {
	t.Helper()
	path, err := exec.LookPath("stdbuf") // what it does with its keys it prints line by line to terminals alone
	if _, missing := exec.LookPath("openssl"); missing != nil || err != nil {
		if os.Getenv("REQUIRE_PRIVILEGED") == "1" {
			t.Fatal("there is no openssl, or no stdbuf, and REQUIRE_PRIVILEGED=1 says that nothing may be skipped")
		}
		t.Skip("NOT RUN: there is no openssl, or no stdbuf")
	}
	dir := t.TempDir()
	certificate, key := tlstest.PEMs(t, a.Issue(nil, host))
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{"-oL", "openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "1",
		"-cert", filepath.Join(dir, "tls.crt"), "-key", filepath.Join(dir, "tls.key")}, flags...)
	ctx, cancel := context.WithTimeout(t.Context(), patience) // so that no wait for a line is for ever
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &sServer{t: t, stdin: stdin, stdout: bufio.NewReader(stdout)}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	s.addr, err = netip.ParseAddrPort(strings.TrimPrefix(s.await("ACCEPT "), "ACCEPT "))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// await returns the next line that the server writes with a prefix.
func (s *sServer) await(prefix string) string {
	s.t.Helper()
	for {
		line, err := s.stdout.ReadString('\n')
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
		if err != nil {
			s.t.Fatalf("no line %q: %v", prefix, err)
		}
	}
}

func (s *sServer) write(line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.stdin, line+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

// A server changes its keys when it likes, and has us change ours.
func TestKeysAreUpdated(t *testing.T) {
	a := tlstest.New(t)
	s := openssl(t, a, "-tls1_3")
	c := mustConnect(t, trusting(t, a), s.addr)
	for _, command := range []string{"k", "K", "K"} { // "k" does not ask for an answer
		s.write(command)
		s.await("SSL_do_handshake") // a command takes everything that is read with it
		s.write("after " + command)
		got, err := readAll(t, c, len("after k\n"))
		if err != nil || string(got) != "after "+command+"\n" {
			t.Fatalf("got %q, %v", got, err)
		}
		if _, err := c.Write([]byte("ours " + command + "\n")); err != nil {
			t.Fatal(err)
		}
		s.await("ours " + command)
	}
}

// A server that wants to begin anew does not get its wish, and is not waited for.
func TestRenegotiationIsRefused(t *testing.T) {
	a := tlstest.New(t)
	s := openssl(t, a, "-tls1_2", "-legacy_renegotiation")
	c := mustConnect(t, trusting(t, a), s.addr)
	s.write("before")
	if got, err := readAll(t, c, len("before\n")); err != nil || string(got) != "before\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	s.write("r")
	_, err := readAll(t, c, 1)
	wantReason(t, err, Handshake)
}

// Tickets that come at any time are no reason to wake anybody.
func TestTicketsAreNotReadable(t *testing.T) {
	a := tlstest.New(t)
	s := openssl(t, a, "-tls1_3", "-num_tickets", "4")
	server := trusting(t, a)
	c := mustConnect(t, server, s.addr)
	eventually(t, func() bool { _ = c.Peek(); _, there := server.sessions.Get(""); return there })
	if c.Peek() != transport.Quiet {
		t.Error("a ticket is readable")
	}
	if _, err := c.TryRead(make([]byte, 1)); !errors.Is(err, transport.ErrWouldBlock) {
		t.Errorf("reading gives %v", err)
	}
}
