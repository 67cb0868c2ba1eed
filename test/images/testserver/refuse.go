package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// serveRefusals speaks HTTP/2 with prior knowledge. The first calls with a key are refused before anything of them is read, by the last part of the
// path as in /any/refuse-2-x, whose key is x: two with REFUSED_STREAM; /any/goaway-2-x: two with GOAWAY, which names no stream of them. All others are
// answered with their own body, as gRPC if they are that. Extended CONNECT (RFC 8441) is offered, and answered with what comes, as it comes: what is said
// is counted among the bodies, and a tunnel is concurrent until the client ends it or breaks it off.
func (u *upstream) serveRefusals(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			u.refuse(c)
		}()
	}
}

// refused is a connection of it, with the requests whose bodies are not over.
type refused struct {
	u      *upstream
	frames *http2.Framer
	open   map[uint32]*refusedCall
}

type refusedCall struct {
	contentType string
	tunnel      *seen // nil if it is none
	body        bytes.Buffer
}

func (u *upstream) refuse(c net.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	r := &refused{u, http2.NewFramer(c, c), map[uint32]*refusedCall{}}
	defer func() {
		for id := range r.open {
			r.leave(id)
		}
	}()
	r.frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if r.frames.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}) != nil {
		return
	}
	for {
		f, err := r.frames.ReadFrame()
		if err != nil || !r.read(f) {
			return
		}
	}
}

// read reports whether there is more to read.
func (r *refused) read(f http2.Frame) bool {
	switch f := f.(type) {
	case *http2.SettingsFrame:
		return f.IsAck() || r.frames.WriteSettingsAck() == nil
	case *http2.PingFrame:
		return f.IsAck() || r.frames.WritePing(true, f.Data) == nil
	case *http2.MetaHeadersFrame:
		return r.begin(f)
	case *http2.DataFrame:
		call := r.open[f.StreamID]
		if call == nil {
			return true // of a refused one
		}
		if call.tunnel != nil {
			return r.echo(call.tunnel, f)
		}
		call.body.Write(f.Data())
		return !f.StreamEnded() || r.answer(f.StreamID)
	case *http2.RSTStreamFrame:
		r.leave(f.StreamID)
	}
	return true
}

// begin counts a call, and refuses it if its path says so.
func (r *refused) begin(f *http2.MetaHeadersFrame) bool {
	path := f.PseudoValue("path")
	how, n, key := refusal(path[strings.LastIndexByte(path, '/')+1:])
	header := http.Header{}
	for _, field := range f.RegularFields() {
		header[field.Name] = append(header[field.Name], field.Value) // as it was spelt
	}
	s, refused := r.u.refusedNow(key, n, header)
	if refused {
		if how == "goaway" {
			// What is left of the request is read: a connection that is closed before would take the frame with it.
			return r.frames.WriteGoAway(f.StreamID-1, http2.ErrCodeNo, nil) == nil
		}
		return r.frames.WriteRSTStream(f.StreamID, http2.ErrCodeRefusedStream) == nil
	}
	call := &refusedCall{contentType: first(header, "content-type")}
	r.open[f.StreamID] = call
	if f.PseudoValue("protocol") != "" {
		call.tunnel = s
		r.u.mu.Lock()
		s.Concurrent++
		r.u.mu.Unlock()
		return r.headers(f.StreamID, false, ":status", strconv.Itoa(http.StatusOK))
	}
	return !f.StreamEnded() || r.answer(f.StreamID)
}

// refusal reads how, how many and the key of refuse-2-x.
func refusal(s string) (how string, n int, key string) {
	how, rest, _ := strings.Cut(s, "-")
	number, key, _ := strings.Cut(rest, "-")
	n, _ = strconv.Atoi(number)
	return how, n, key
}

// refusedNow counts a call, and reports whether it is one of the first n.
func (u *upstream) refusedNow(key string, n int, header http.Header) (s *seen, refused bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s = u.under(key)
	s.Requests++
	s.LastHeader = header
	if s.Requests > n {
		return s, false
	}
	s.Failed++
	return s, true
}

// echo sends back what was said in a tunnel, and ends it if the client has.
func (r *refused) echo(s *seen, f *http2.DataFrame) bool {
	r.u.mu.Lock()
	if len(f.Data()) > 0 && len(s.Bodies) < 1000 {
		s.Bodies[string(f.Data())]++
	}
	r.u.mu.Unlock()
	if f.StreamEnded() {
		r.leave(f.StreamID)
	}
	return r.frames.WriteData(f.StreamID, f.StreamEnded(), f.Data()) == nil
}

// leave forgets a call that is over, whoever has ended it.
func (r *refused) leave(id uint32) {
	if call := r.open[id]; call != nil && call.tunnel != nil {
		r.u.leave(call.tunnel)
	}
	delete(r.open, id)
}

func (r *refused) answer(id uint32) bool {
	call := r.open[id]
	delete(r.open, id)
	fields, isGRPC := []string{":status", strconv.Itoa(http.StatusOK)}, strings.HasPrefix(call.contentType, "application/grpc")
	if isGRPC {
		fields = append(fields, "content-type", call.contentType)
	}
	ok := r.headers(id, false, fields...) && r.frames.WriteData(id, !isGRPC, call.body.Bytes()) == nil
	return ok && (!isGRPC || r.headers(id, true, "grpc-status", "0"))
}

func (r *refused) headers(id uint32, end bool, fields ...string) bool {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	e.SetMaxDynamicTableSizeLimit(0) // each block stands for itself
	for i := 0; i < len(fields); i += 2 {
		if e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) != nil {
			return false
		}
	}
	return r.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end}) == nil
}
