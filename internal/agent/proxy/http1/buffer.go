package http1

import "sync"

// Buffer sizes. A typical head and a small body fit the first, one with a token or a large cookie the second; the last holds the largest head that is accepted, also with
// what is added to it on the way.
const (
	smallBuffer = 4 << 10
	tokenBuffer = 8 << 10
	midBuffer   = 16 << 10
	bodyBuffer  = 64 << 10
	largeBuffer = 128 << 10
	headBuffer  = 512 << 10
)

var sizes = [...]int{smallBuffer, tokenBuffer, midBuffer, bodyBuffer, largeBuffer, headBuffer}

// buffer is a pooled piece of memory; whoever gets it puts it back.
type buffer struct {
	data []byte
}

var pools [len(sizes)]sync.Pool

// getBuffer returns a buffer of at least size bytes, which must not exceed headBuffer.
func getBuffer(size int) *buffer {
	class := classOf(size)
	if b, ok := pools[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, sizes[class])}
}

func putBuffer(b *buffer) {
	poison(b.data)
	pools[classOf(len(b.data))].Put(b)
}

func classOf(size int) int {
	for class, s := range sizes {
		if size <= s {
			return class
		}
	}
	return len(sizes) - 1
}
