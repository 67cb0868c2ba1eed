package transport

import (
	"testing"
	"unsafe"
)

// There are one or two for each idle connection of a client: one field more may cost the next size class of the allocator.
func TestConnIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 192 {
		t.Errorf("a Conn takes %d bytes", size)
	}
	if size := unsafe.Sizeof(Mover{}); size > 80 {
		t.Errorf("a Mover takes %d bytes", size)
	}
}
