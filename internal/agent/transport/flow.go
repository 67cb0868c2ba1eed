package transport

// Flow is Move for those who have nothing to do between two moves: it goes on until the source has ended or failed or its time is up, much
// comes at once, or dst is slow. It may be called again where Move may. Where a Move begins with a look for more, which mostly finds nothing,
// Flow has read less than it had room for, and waits.
func (m *Mover) Flow(dst *Conn) (int64, Side, error) {
	if m.bulk {
		return m.Move(dst, MaxMove)
	}
	m.dst, m.max, m.moved, m.side, m.flowing = dst, chunk, 0, Source, true
	err := m.src.waitArmed(m.readStep)
	m.dst, m.flowing = nil, false
	switch {
	case err != nil:
		return m.moved, Source, err
	case m.buf != nil && m.err == nil: // dst is slow
		n, side, err := m.writeAll(dst)
		return m.moved + n, side, err
	case m.buf != nil:
		chunks.Put(m.buf)
		m.buf = nil
	}
	return m.moved, m.side, m.err
}

// flow runs inside RawConn.Read, which must not last: whoever closes the source waits for it. So it never waits for the destination. It
// reports false when all that has come was moved.
func (m *Mover) flow() bool {
	if !m.readChunk() {
		return false
	}
	if m.err != nil {
		return true
	}
	read := m.n
	if err := m.dst.write(m); err != nil {
		m.n, m.err = 0, cause(err)
	}
	m.moved += int64(m.n)
	if m.err != nil {
		m.side = Destination
		return true
	}
	if m.n < read {
		m.n = copy(m.buf[:], m.buf[m.n:read])
		return true
	}
	chunks.Put(m.buf)
	m.buf = nil
	m.bulk = read == chunk && m.src.Plain() && m.dst.Plain()
	return read == chunk
}
