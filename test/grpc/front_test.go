package grpc

import (
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"sync"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// front speaks TLS in front of a server that listens on a port, for a version of HTTP, and returns its own port.
func (s *suiteServer) front(version, port uint64) (own uint64, end func(), err error) {
	certificate, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
	if err != nil {
		return 0, nil, err
	}
	alpn := map[bool]string{true: "http/1.1", false: "h2"}[version == 1]
	address := netnstest.World4.String()
	l, err := tls.Listen("tcp", net.JoinHostPort(address, "0"), &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{alpn}})
	if err != nil {
		return 0, nil, err
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go pass(c.(*tls.Conn), net.JoinHostPort(address, strconv.FormatUint(port, 10)))
		}
	})
	return uint64(l.Addr().(*net.TCPAddr).Port), func() { _ = l.Close(); serving.Wait() }, nil
}

// pass passes on what both ends of a connection say, until they have ended it.
func pass(c *tls.Conn, to string) {
	defer func() { _ = c.Close() }()
	d, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	server := d.(*net.TCPConn)
	defer func() { _ = server.Close() }()
	var ways sync.WaitGroup
	ways.Go(func() { _, _ = io.Copy(server, c); _ = server.CloseWrite() })
	ways.Go(func() { _, _ = io.Copy(c, server); _ = c.CloseWrite() })
	ways.Wait()
}
