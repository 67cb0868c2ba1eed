package h2

// batch is what a goroutine has touched and not flushed yet. Its functions are called without locks held, but for add.
type batch struct {
	outputs []*output
}

// add notes that something was appended to an output. It expects the output's lock.
func (b *batch) add(o *output) {
	if !o.queued {
		o.queued = true
		b.outputs = append(b.outputs, o)
	}
}

// flush writes what was appended.
func (b *batch) flush() {
	for i, o := range b.outputs {
		b.outputs[i] = nil
		o.flush()
	}
	b.outputs = b.outputs[:0]
}
