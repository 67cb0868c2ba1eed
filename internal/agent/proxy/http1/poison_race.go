//go:build race

package http1

// poison overwrites a freed buffer, so that tests under the race detector see every use after free.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}
