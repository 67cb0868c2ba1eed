package differential

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"sync"
	"time"
)

// certificate is one for the server's name, good for an hour.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// trusted are the authorities that clients trust: the certificate itself.
func trusted() *x509.CertPool {
	pool := x509.NewCertPool()
	c, err := x509.ParseCertificate(certificate().Certificate[0])
	if err != nil {
		panic(err)
	}
	pool.AddCert(c)
	return pool
}

// helloOf is the ClientHello that a configuration makes, with its record's header.
func helloOf(config *tls.Config) []byte {
	client, server := net.Pipe()
	go func() { _ = tls.Client(client, config).Handshake(); _ = client.Close() }()
	defer func() { _ = server.Close() }()
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		panic(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(server, body); err != nil {
		panic(err)
	}
	return append(head, body...)
}

// theHello is one that is the same in every run, since some of it is random.
var theHello = sync.OnceValue(func() []byte { return helloOf(&tls.Config{ServerName: serverName, InsecureSkipVerify: true}) })

// inRecords puts the message of a record into records of so many bytes.
func inRecords(record []byte, size int) []byte {
	var out bytes.Buffer
	for m := record[5:]; len(m) > 0; {
		n := min(size, len(m))
		out.Write(record[:3])
		out.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
		out.Write(m[:n])
		m = m[n:]
	}
	return out.Bytes()
}

// withExtension adds an extension to a ClientHello, in front of the others.
func withExtension(record []byte, kind uint16, content []byte) []byte {
	m := record[5:]
	at := 4 + 2 + 32
	at += 1 + int(m[at])                           // session
	at += 2 + int(binary.BigEndian.Uint16(m[at:])) // cipher suites
	at += 1 + int(m[at])                           // compression
	extensions := m[at+2:]
	all := binary.BigEndian.AppendUint16(nil, kind)
	all = binary.BigEndian.AppendUint16(all, uint16(len(content)))
	all = append(append(all, content...), extensions...)
	body := append(append([]byte{}, m[4:at]...), binary.BigEndian.AppendUint16(nil, uint16(len(all)))...)
	body = append(body, all...)
	out := append(append([]byte{}, record[:3]...), binary.BigEndian.AppendUint16(nil, uint16(len(body)+4))...)
	return append(append(out, m[0], byte(len(body)>>16), byte(len(body)>>8), byte(len(body))), body...)
}

// cutting is a connection whose first writes are cut into pieces, with pauses between them.
type cutting struct {
	net.Conn
	pieces []int // sizes; what is left goes in one
	pause  time.Duration
	size   int // of records into which the first message is put; 0: as it is
	begun  bool
}

// Write implements net.Conn.
func (c *cutting) Write(b []byte) (int, error) {
	if c.begun {
		return c.Conn.Write(b)
	}
	c.begun = true
	out := b
	if c.size > 0 {
		out = inRecords(b, c.size)
	}
	for _, n := range c.pieces {
		n = min(n, len(out))
		if _, err := c.Conn.Write(out[:n]); err != nil {
			return 0, err
		}
		out = out[n:]
		time.Sleep(c.pause)
	}
	_, err := c.Conn.Write(out)
	return len(b), err
}
