package detect

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// clientHello returns what crypto/tls sends first.
func clientHello(t testing.TB, name string) []byte {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: name == ""}).Handshake() //nolint:gosec // ends with the pipe
	}()
	defer func() {
		_, _ = client.Close(), server.Close()
		<-done
	}()
	head := make([]byte, recordHeader)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	hello := append(head, make([]byte, binary.BigEndian.Uint16(head[3:]))...)
	if _, err := io.ReadFull(server, hello[recordHeader:]); err != nil {
		t.Fatal(err)
	}
	return hello
}

func TestAClientHelloIsTLS(t *testing.T) {
	for _, name := range []string{"orders.shop.example", ""} {
		hello := clientHello(t, name)
		for n := 1; n <= len(hello); n++ {
			want := TLS
			if n <= recordHeader {
				want = Undecided
			}
			if got := Detect(hello[:n]); got != want {
				t.Fatalf("%d bytes of a ClientHello: %v, want %v", n, got, want)
			}
		}
	}
}
