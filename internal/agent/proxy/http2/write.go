package http2

import "encoding/binary"

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func append32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

func appendFrameHeader(dst []byte, length int, t Type, flags byte, stream uint32) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), byte(t), flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func putLength(frame []byte, length int) {
	frame[0], frame[1], frame[2] = byte(length>>16), byte(length>>8), byte(length)
}

// AppendDataHeader appends the header of a DATA frame, behind which length bytes of data are to be written: no more than the peer's
// MaxFrameSize and windows allow.
func AppendDataHeader(dst []byte, stream uint32, length int, endStream bool) []byte {
	var flags byte
	if endStream {
		flags = flagEndStream
	}
	return appendFrameHeader(dst, length, Data, flags, stream)
}

// ExtendData makes a DATA frame longer: frame is its header and all that it is to hold, which obeys the same bounds.
func ExtendData(frame []byte, endStream bool) {
	putLength(frame, len(frame)-FrameHeaderLen)
	if endStream {
		frame[4] |= flagEndStream
	}
}

// AppendRSTStream appends a RST_STREAM frame.
func AppendRSTStream(dst []byte, stream uint32, c Code) []byte {
	return append32(appendFrameHeader(dst, 4, RSTStream, 0, stream), uint32(c))
}

// AppendWindowUpdate appends a WINDOW_UPDATE frame; stream 0 is the connection.
func AppendWindowUpdate(dst []byte, stream, increment uint32) []byte {
	return append32(appendFrameHeader(dst, 4, WindowUpdate, 0, stream), increment)
}

// AppendGoAway appends a GOAWAY frame. debug, if any, should be the sentence of an Error.
func AppendGoAway(dst []byte, lastStream uint32, c Code, debug string) []byte {
	dst = appendFrameHeader(dst, 8+len(debug), GoAway, 0, 0)
	return append(append32(append32(dst, lastStream), uint32(c)), debug...)
}

// AppendPing appends a PING frame.
func AppendPing(dst []byte, data [8]byte) []byte {
	return append(appendFrameHeader(dst, 8, Ping, 0, 0), data[:]...)
}

// AppendPingAck appends the answer to a PING frame with this payload.
func AppendPingAck(dst, payload []byte) []byte {
	return append(appendFrameHeader(dst, 8, Ping, flagAck, 0), payload...)
}

// AppendSettingsAck appends the answer to a SETTINGS frame.
func AppendSettingsAck(dst []byte) []byte {
	return appendFrameHeader(dst, 0, SettingsFrame, flagAck, 0)
}

// finishHeaders turns the header block at dst[from+FrameHeaderLen:] into HEADERS and, as maxFrame demands, CONTINUATION frames. The
// space for the first frame's header is there already.
func finishHeaders(dst []byte, from int, stream uint32, endStream bool, maxFrame int) []byte {
	block := len(dst) - from - FrameHeaderLen
	first := min(block, maxFrame)
	var flags byte
	if endStream {
		flags = flagEndStream
	}
	if block == first {
		flags |= flagEndHeaders
	}
	appendFrameHeader(dst[from:from], first, Headers, flags, stream)
	if block == first {
		return dst
	}
	return splitBlock(dst, from+FrameHeaderLen+first, stream, maxFrame)
}

// splitBlock inserts the headers of CONTINUATION frames into what lies behind at. It moves from the end, each byte once.
func splitBlock(dst []byte, at int, stream uint32, maxFrame int) []byte {
	rest := len(dst) - at
	frames := (rest + maxFrame - 1) / maxFrame
	for range frames {
		dst = append(dst, make([]byte, FrameHeaderLen)...)
	}
	for i := frames - 1; i >= 0; i-- {
		n := min(maxFrame, rest-i*maxFrame)
		src := at + i*maxFrame
		to := src + (i+1)*FrameHeaderLen
		copy(dst[to:to+n], dst[src:src+n])
		var flags byte
		if i == frames-1 {
			flags = flagEndHeaders
		}
		appendFrameHeader(dst[to-FrameHeaderLen:to-FrameHeaderLen], n, Continuation, flags, stream)
	}
	return dst
}
