package main

import (
	"fmt"
	"net"

	"fairlead.dev/fairlead/internal/agent/proxy/http2"
)

const (
	// streamWindow is what a client lets a server send on a stream before it takes it; it says so whenever half of it was taken.
	streamWindow = 1 << 20
	// connWindow is the same of the connection, which is never to be what a stream waits for.
	connWindow = 1 << 30
)

// multiplexed is the client's side of a connection with several streams at a time.
type multiplexed struct {
	frames
	conn   net.Conn
	head   []byte
	stream uint32
	out    []byte
	// send is how many bytes of bodies the peer still takes; taken what was received since it was last granted more on the connection.
	send, taken int
	// window is how many bytes of the body that is uploaded the peer still takes on its stream.
	window int
	// bodies are the bytes that calls were answered with, ungranted those on a stream that it was not granted more for.
	bodies, ungranted int
}

func (c *client) dialMultiplexed() error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	c.conn = conn
	settings := http2.InitialSettings()
	settings.EnablePush = false
	settings.InitialWindowSize = streamWindow
	fields := [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", c.path}, {":authority", serverName}, {"user-agent", "bench/1"}, {"accept", "*/*"}}
	if c.grpc {
		fields = append(fields[:5], [][2]string{{"content-type", "application/grpc"}, {"te", "trailers"}}...)
	}
	if c.grpc || c.upload {
		fields[0][1] = "POST"
	}
	c.h2 = &multiplexed{frames: newFrames(conn), conn: conn, stream: 1, send: http2.DefaultWindow, head: head(fields, !c.grpc && !c.upload)}
	_, err = conn.Write(http2.AppendWindowUpdate(settings.Append([]byte(http2.Preface)), 0, connWindow))
	return err
}

// answerSize is how many bytes every call is answered with.
func (c *client) answerSize() int {
	switch {
	case c.front == bulkFront && !c.upload:
		return bulkSize
	case c.grpc:
		return len(message)
	}
	return 1024
}

// callStreams makes calls on all streams at a time, and reports whether all were answered with what they should be.
func (c *client) callStreams() (bool, error) {
	if c.h2 == nil {
		if err := c.dialMultiplexed(); err != nil {
			return false, err
		}
	}
	k := c.h2
	k.bodies = 0
	if err := k.ask(c.streams, c.grpc); err != nil {
		return false, err
	}
	if c.upload {
		if err := k.upload(); err != nil {
			return false, err
		}
	}
	for waiting := c.streams; waiting > 0; {
		f, err := k.take()
		if err != nil {
			return false, fmt.Errorf("connection %d after %d calls: %w", c.index, c.calls.Load(), err)
		}
		if f.ends() {
			waiting--
			if c.rate > 0 {
				c.observe()
			}
		}
	}
	return k.bodies == c.streams*c.answerSize(), nil
}

// ask sends the requests.
func (k *multiplexed) ask(streams int, grpc bool) error {
	for grpc && k.send < streams*len(message) {
		if _, err := k.take(); err != nil {
			return err
		}
	}
	k.out = k.out[:0]
	for range streams {
		k.out = appendFor(k.out, k.head, k.stream)
		if grpc {
			k.out = append(http2.AppendDataHeader(k.out, k.stream, len(message), true), message...)
			k.send -= len(message)
		}
		k.stream += 2
	}
	_, err := k.conn.Write(k.out)
	return err
}

// upload sends the body of the request that was asked last, as the windows allow.
func (k *multiplexed) upload() error {
	stream := k.stream - 2
	k.window = int(k.settings.InitialWindowSize)
	for left := bulkSize; left > 0; {
		k.out = k.out[:0]
		for n := min(left, k.window, k.send, http2.MaxFrame); n > 0 && len(k.out) < 256<<10; n = min(left, k.window, k.send, http2.MaxFrame) {
			left, k.window, k.send = left-n, k.window-n, k.send-n
			k.out = append(http2.AppendDataHeader(k.out, stream, n, left == 0), bulkPart[:n]...)
		}
		if _, err := k.conn.Write(k.out); err != nil {
			return err
		}
		for left > 0 && min(k.window, k.send) == 0 {
			if _, err := k.take(); err != nil {
				return err
			}
		}
	}
	return nil
}

// take reads a frame and answers what has to be.
func (k *multiplexed) take() (frame, error) {
	before := k.settings.InitialWindowSize
	f, err := k.next()
	if err != nil {
		return f, err
	}
	k.window += int(k.settings.InitialWindowSize) - int(before)
	out := k.out[:0]
	switch {
	case f.t == http2.SettingsFrame && f.flags&ack == 0:
		out = http2.AppendSettingsAck(out)
	case f.t == http2.WindowUpdate && f.stream == 0:
		k.send += int(f.value)
	case f.t == http2.WindowUpdate && f.stream == k.stream-2: // others have ended
		k.window += int(f.value)
	case f.t == http2.RSTStream, f.t == http2.GoAway:
		return f, fmt.Errorf("frame %v of stream %d: the connection or the stream has ended, with %v", f.t, f.stream, f.value)
	case f.t == http2.Data:
		out = k.grant(out, f)
	}
	if len(out) > 0 {
		_, err = k.conn.Write(out)
	}
	return f, err
}

// grant counts what was received, and lets the peer send more once half of a window was.
func (k *multiplexed) grant(out []byte, f frame) []byte {
	k.bodies += f.length
	if k.taken += f.length; k.taken >= connWindow/2 {
		out, k.taken = http2.AppendWindowUpdate(out, 0, uint32(k.taken)), 0
	}
	if f.ends() {
		k.ungranted = 0
		return out
	}
	if k.ungranted += f.length; k.ungranted >= streamWindow/2 {
		out, k.ungranted = http2.AppendWindowUpdate(out, f.stream, uint32(k.ungranted)), 0
	}
	return out
}
