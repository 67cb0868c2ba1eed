package h2

import "sync/atomic"

// account counts the memory that all connections together hold of streams whose other side does not take them. Nothing is refused for
// it, since peers were allowed to send what they send; but as long as it is short they are allowed no more on the connections as a whole.
type account struct {
	limit int64
	used  atomic.Int64
}

func (a *account) add(n int) {
	if n != 0 {
		a.used.Add(int64(n))
	}
}

func (a *account) short() bool { return a.used.Load() > a.limit }
