package grpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"fairlead.dev/fairlead/internal/agent/routes"
)

// What each server of connectrpc.com/conformance is tested for: everything that goes without TLS.
const (
	grpcFeatures = `features:
  versions: [HTTP_VERSION_2]
  protocols: [PROTOCOL_GRPC]
  codecs: [CODEC_PROTO]
  supportsTls: false
`
	allFeatures = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supportsTls: false
  supportsHalfDuplexBidiOverHttp1: true
`
)

// suiteTakes bounds a run of the suite.
const suiteTakes = 5 * time.Minute

func TestConformance(t *testing.T) {
	runner := program(t, "connectrpc.com/conformance/cmd/connectconformance")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		server, features string
		failing          []string // of the server itself, as the suite's own list has it
	}{
		"grpc-go": {"connectrpc.com/conformance/cmd/grpcserver", grpcFeatures, []string{
			"**/unary/multiple-requests", "**/unary/no-request", "**/server-stream/multiple-requests", "**/server-stream/no-request",
		}},
		"connect-go": {"connectrpc.com/conformance/cmd/referenceserver", allFeatures, nil},
	} {
		server := program(t, tc.server)
		config := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(config, []byte(tc.features), 0o600); err != nil {
			t.Fatal(err)
		}
		passes := map[string]string{}
		for way, command := range map[string]string{"direct": server, "governed": self} {
			t.Run(name+"/"+way, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), suiteTakes)
				defer cancel()
				args := []string{"--conf", config, "--mode", "server"}
				for _, f := range tc.failing {
					args = append(args, "--known-failing", f)
				}
				cmd := exec.CommandContext(ctx, runner, append(args, "--", command)...)
				trace := filepath.Join(t.TempDir(), "governed")
				if way == "governed" {
					cmd.Env = append(os.Environ(), serverVariable+"="+server, traceVariable+"="+trace)
				}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				passes[way] = passed.FindString(string(out))
				if _, err := os.Stat(trace); way == "governed" && err != nil {
					t.Errorf("no gRPC call was governed: %v", err)
				}
			})
		}
		if passes["direct"] != passes["governed"] || passes["direct"] == "" {
			t.Errorf("%s: %q directly, %q governed", name, passes["direct"], passes["governed"])
		}
	}
}

// passed is how the suite sums up its cases.
var passed = regexp.MustCompile(`[0-9]+ passed, [0-9]+ failed`)

// serveGoverned is a server of the suite: it passes what the suite wants on to another, and tells the suite an address from which the proxy
// goes to that.
func serveGoverned(server string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cmd := exec.CommandContext(ctx, server)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	cmd.Stdin = os.Stdin
	from, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	response, err := readDelimited(from)
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", server, err)
	}
	at, err := addressIn(response)
	if err != nil {
		return err
	}
	var first sync.Once
	through, end, err := governed(at, settings(), func(e *routes.Exchange) {
		if e.GRPC {
			first.Do(func() { _ = os.WriteFile(os.Getenv(traceVariable), nil, 0o600) })
		}
	})
	if err != nil {
		return err
	}
	if err := writeDelimited(os.Stdout, withPort(response, through.Port())); err != nil {
		return err
	}
	err = cmd.Wait()
	end()
	if ctx.Err() != nil { // the suite is done
		return nil
	}
	return err
}

// readDelimited reads a message with its length before it.
func readDelimited(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	m := make([]byte, min(binary.BigEndian.Uint32(size[:]), 1<<20))
	_, err := io.ReadFull(r, m)
	return m, err
}

func writeDelimited(w io.Writer, m []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(m))), m...))
	return err
}

// The numbers of the fields of connectrpc.conformance.v1.ServerCompatResponse.
const (
	hostField = 1
	portField = 2
)

var errMalformed = errors.New("the server's answer is malformed")

// eachField calls f with the number, the whole and the value of each field.
func eachField(m []byte, f func(n protowire.Number, whole []byte, value []byte, number uint64)) error {
	for len(m) > 0 {
		n, kind, head := protowire.ConsumeTag(m)
		if head < 0 {
			return errMalformed
		}
		size := protowire.ConsumeFieldValue(n, kind, m[head:])
		if size < 0 {
			return errMalformed
		}
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, _ = protowire.ConsumeBytes(m[head:])
		case protowire.VarintType:
			number, _ = protowire.ConsumeVarint(m[head:])
		case protowire.Fixed32Type, protowire.Fixed64Type, protowire.StartGroupType, protowire.EndGroupType:
		}
		f(n, m[:head+size], value, number)
		m = m[head+size:]
	}
	return nil
}

// addressIn is where the server listens.
func addressIn(response []byte) (at netip.AddrPort, err error) {
	host, port := "", uint64(0)
	if err := eachField(response, func(n protowire.Number, _, value []byte, number uint64) {
		switch n {
		case hostField:
			host = string(value)
		case portField:
			port = number
		}
	}); err != nil {
		return at, err
	}
	if host == "localhost" || host == "" {
		host = "127.0.0.1"
	}
	return netip.ParseAddrPort(net.JoinHostPort(host, strconv.FormatUint(port, 10)))
}

// withPort is the answer with another port, on this host.
func withPort(response []byte, port uint16) []byte {
	out := protowire.AppendTag(nil, hostField, protowire.BytesType)
	out = protowire.AppendString(out, "127.0.0.1")
	out = protowire.AppendTag(out, portField, protowire.VarintType)
	out = protowire.AppendVarint(out, uint64(port))
	_ = eachField(response, func(n protowire.Number, whole, _ []byte, _ uint64) { // it was read before
		if n != hostField && n != portField {
			out = append(out, whole...)
		}
	})
	return out
}
