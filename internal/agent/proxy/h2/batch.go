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

// flush writes what was appended. Where that panics at one of the outputs the others are flushed nevertheless: nobody else would, and streams
// of other sessions wait for them.
func (b *batch) flush() {
	outputs, at := b.outputs, 0
	defer func() {
		if at < len(outputs) {
			b.outputs = outputs[at:]
			b.flush()
		}
	}()
	for at < len(outputs) {
		o := outputs[at]
		outputs[at] = nil
		at++
		o.flush()
	}
	b.outputs = outputs[:0]
}

// flushed has f act, and flushes what it has touched, even if it panics.
func flushed(f func(b *batch)) {
	var b batch
	defer b.flush()
	f(&b)
}
