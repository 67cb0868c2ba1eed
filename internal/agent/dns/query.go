package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

const (
	// perServer is how long one server is waited for before the next one is asked.
	perServer = 800 * time.Millisecond
	// rounds is how often all servers are asked.
	rounds = 2
)

// ask asks the servers one after the other, until one answers.
func ask(ctx context.Context, servers []netip.AddrPort, q question) (r records, err error) {
	msg, err := q.pack()
	if err != nil {
		return r, err
	}
	err = errNoServers
	for range rounds {
		for _, s := range servers {
			if r, err = askServer(ctx, s, q, msg); err == nil || ctx.Err() != nil {
				return r, err
			}
		}
	}
	return r, err
}

// askServer asks a server once: by a datagram, and over TCP where the answer does not fit one.
func askServer(ctx context.Context, server netip.AddrPort, q question, msg []byte) (records, error) {
	ctx, cancel := context.WithTimeout(ctx, perServer)
	defer cancel()
	r, err := exchange(ctx, "udp", server, func(c net.Conn) (records, error) { return overUDP(c, q, msg) })
	if errors.Is(err, errTruncated) {
		return exchange(ctx, "tcp", server, func(c net.Conn) (records, error) { return overTCP(c, q, msg) })
	}
	return r, err
}

// exchange calls f with a connection to a server that fails when ctx ends. Each question has a socket of its own, and so a port that
// nobody can guess: with the ID that is what keeps others from answering (RFC 5452).
func exchange(ctx context.Context, network string, server netip.AddrPort, f func(net.Conn) (records, error)) (records, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return records{}, err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return f(c)
}

func overUDP(c net.Conn, q question, msg []byte) (r records, err error) {
	if _, err := c.Write(msg); err != nil {
		return r, err
	}
	buf := make([]byte, udpSize)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return r, err
		}
		if r, err = q.parse(buf[:n]); !errors.Is(err, errNotAnswer) {
			return r, err
		}
	}
}

func overTCP(c net.Conn, q question, msg []byte) (r records, err error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(msg)))
	if _, err := c.Write(append(framed, msg...)); err != nil {
		return r, err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return r, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return r, err
	}
	return q.parse(buf)
}
