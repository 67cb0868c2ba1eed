package grpc

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"google.golang.org/protobuf/encoding/protowire"
)

// serverVariable has this program be a server of the conformance suite: the one that the file it names describes.
const serverVariable = "FAIRLEAD_GRPC_SERVER"

// suiteServer is a server of the conformance suite, between which and the suite this program stands, to tell the suite how it is called.
type suiteServer struct {
	Command []string
	// Originated: it speaks TLS, of which the suite does not know.
	Originated bool
	// Certificate and Key are the files of one that is shown in front of a server that does not speak TLS; empty: none is.
	Certificate, Key string
	// Roots is what its clients trust; empty: they do not speak TLS.
	Roots []byte
}

func (s *suiteServer) write(path string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// runServer runs the server that a file describes, until the suite wants it to end.
func runServer(path string) error {
	var s suiteServer
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	to, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	from, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	end, err := s.introduce(to, from)
	if err != nil {
		return err
	}
	defer end()
	if err := cmd.Wait(); ctx.Err() == nil {
		return err
	}
	return nil // the suite is done
}

// introduce passes what the suite wants on to the server, and its answer to the suite. end ends what is in front of the server.
func (s *suiteServer) introduce(to io.WriteCloser, from io.Reader) (end func(), err error) {
	request, err := readDelimited(os.Stdin)
	if err != nil {
		return nil, fmt.Errorf("what the suite wants: %w", err)
	}
	if s.Originated {
		request = protowire.AppendTag(request, useTLSField, protowire.VarintType)
		request = protowire.AppendVarint(request, 1)
	}
	if err := errors.Join(writeDelimited(to, request), to.Close()); err != nil {
		return nil, err
	}
	response, err := readDelimited(from)
	if err != nil {
		return nil, fmt.Errorf("the answer of %s: %w", s.Command[0], err)
	}
	version, err := numberIn(request, versionField)
	if err != nil {
		return nil, err
	}
	port, err := numberIn(response, portField)
	if err != nil {
		return nil, err
	}
	end = func() {}
	if s.Certificate != "" {
		if port, end, err = s.front(version, port); err != nil {
			return nil, err
		}
	}
	return end, writeDelimited(os.Stdout, s.response(version, port))
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

// The numbers of fields of connectrpc.conformance.v1.ServerCompatRequest, and of ServerCompatResponse.
const (
	versionField = 2
	useTLSField  = 4

	hostField = 1
	portField = 2
	certField = 3
)

// numberIn is the value of a field of a message, which is a number.
func numberIn(message []byte, field protowire.Number) (uint64, error) {
	for m := message; len(m) > 0; {
		n, kind, head := protowire.ConsumeTag(m)
		size := protowire.ConsumeFieldValue(n, kind, m[max(head, 0):])
		if head < 0 || size < 0 {
			break
		}
		if n == field && kind == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(m[head:])
			return v, nil
		}
		m = m[head+size:]
	}
	return 0, fmt.Errorf("a message has no field %d", field)
}

// response is what the suite is sent about a server that speaks a version of HTTP.
func (s *suiteServer) response(version, port uint64) []byte {
	out := protowire.AppendTag(nil, hostField, protowire.BytesType)
	out = protowire.AppendString(out, map[bool]string{true: http1Name, false: http2Name}[version == 1])
	out = protowire.AppendTag(out, portField, protowire.VarintType)
	out = protowire.AppendVarint(out, port)
	if len(s.Roots) > 0 {
		out = protowire.AppendTag(out, certField, protowire.BytesType)
		out = protowire.AppendBytes(out, s.Roots)
	}
	return out
}
