package http2test

import "golang.org/x/net/http2"

// Shape is how a header block is put into frames.
type Shape struct {
	// Most is how many bytes of the block a frame has at most; 0: as many as the other side takes.
	Most int
	// Pad is how much padding the first frame has.
	Pad uint8
	// Priority: the first frame says how urgent the stream is.
	Priority bool
}

// writeBlock is called with wmu held.
func (c *Conn) writeBlock(id uint32, shape Shape, end bool, block []byte) error {
	c.mu.Lock()
	frame := int(c.peer[http2.SettingMaxFrameSize])
	c.mu.Unlock()
	most := frame
	if shape.Most > 0 {
		most = min(most, shape.Most)
	}
	first := min(len(block), most)
	p := http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:first], EndStream: end, EndHeaders: first == len(block)}
	if room := 6; first+room+int(shape.Pad) <= frame { // what a length of padding and a priority take
		p.PadLength = shape.Pad
		if shape.Priority {
			p.Priority = http2.PriorityParam{StreamDep: id - 1, Weight: 7} // of the other side's, or of none
		}
	}
	err := c.fr.WriteHeaders(p)
	for block = block[first:]; err == nil && len(block) > 0; {
		n := min(len(block), most)
		err = c.fr.WriteContinuation(id, n == len(block), block[:n])
		block = block[n:]
	}
	return err
}
