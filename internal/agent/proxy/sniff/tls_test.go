package sniff

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
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

// fragment spreads the message of one record over records of at most size bytes.
func fragment(record []byte, size int) (all []byte) {
	for rest := record[recordHeader:]; len(rest) > 0; {
		n := min(size, len(rest))
		all = append(all, record[:3]...)
		all = binary.BigEndian.AppendUint16(all, uint16(n))
		all = append(all, rest[:n]...)
		rest = rest[n:]
	}
	return all
}

func TestServerName(t *testing.T) {
	hello := clientHello(t, "orders.shop.example")
	if Detect(hello) != TLS {
		t.Fatal("a ClientHello is not taken for TLS")
	}
	for name, in := range map[string][]byte{
		"one record":       hello,
		"more behind it":   append(hello[:len(hello):len(hello)], "\x14\x03\x03\x00\x01\x01"...),
		"two records":      fragment(hello, 200),
		"tiny records":     fragment(hello, 1),
		"a split in front": fragment(hello, 3),
	} {
		t.Run(name, func(t *testing.T) {
			if got, more := ServerName(in); more || string(got) != "orders.shop.example" {
				t.Errorf("got %q, more %v", got, more)
			}
		})
	}
	for n := range len(hello) {
		if got, more := ServerName(hello[:n]); !more || got != nil {
			t.Fatalf("of %d bytes: %q, more %v", n, got, more)
		}
	}
	if got, more := ServerName(clientHello(t, "")); more || got != nil {
		t.Errorf("without a name: %q, more %v", got, more)
	}
}

func TestServerNameRefusesWhatIsNoName(t *testing.T) {
	hello := string(clientHello(t, "orders.shop.example"))
	for _, bad := range []string{"orders\x00shop.example", "orders shop.example", "orders.shop.exampl\xc3"} {
		if got, more := ServerName([]byte(strings.Replace(hello, "orders.shop.example", bad, 1))); more || got != nil {
			t.Errorf("got %q, more %v", got, more)
		}
	}
}

// FuzzServerName checks that no input is read out of bounds or asked to grow beyond its bound, and that a name found is one.
func FuzzServerName(f *testing.F) {
	hello := clientHello(f, "orders.shop.example")
	f.Add(hello)
	f.Add(fragment(hello, 100))
	f.Add([]byte("\x16\x03\x01\x00\x04\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		name, more := ServerName(in)
		if more && (len(name) > 0 || len(in) > 8*maxHello) || len(name) > maxName {
			t.Fatalf("%q, more %v of %d bytes", name, more, len(in))
		}
		if strings.ContainsAny(string(name), " \x00\r\n") {
			t.Fatalf("%q", name)
		}
	})
}
