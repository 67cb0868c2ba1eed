package policy

import (
	"math/bits"
	"regexp/syntax"
)

// maxTable bounds the size of a table in bytes, and so the time that making one takes.
const maxTable = 4096

// table is a regular expression as a deterministic automaton over ASCII: what it reads a byte of a text with is one look-up, where package regexp
// takes a hundred nanoseconds to begin.
type table struct {
	class   [0x80]uint8 // those bytes are alike that the same instructions take
	classes int
	next    []uint8 // from a state by a class; 0: nothing fits any more
	accepts []bool  // by state
}

// firstState is that before the first byte.
const firstState = 1

// fits reports whether a text fits as a whole. known is false where that is not decided by ASCII alone.
func (t *table) fits(text []byte) (fits, known bool) {
	state := firstState
	for _, c := range text {
		if c >= 0x80 {
			return false, false
		}
		state = int(t.next[state*t.classes+int(t.class[c])])
		if state == 0 {
			return false, true
		}
	}
	return t.accepts[state], true
}

// threads are the instructions of a program that are under way at once.
type threads [MaxPatternSize/64 + 1]uint64

func (s *threads) add(o *threads) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *threads) put(pc uint32)      { s[pc/64] |= 1 << (pc % 64) }
func (s *threads) has(pc uint32) bool { return s[pc/64]&(1<<(pc%64)) != 0 }

// tabling makes a table.
type tabling struct {
	program *syntax.Prog
	takes   []threads // by class: the instructions that take its bytes
	follow  []threads // by instruction: what is under way once it is reached
	match   uint32
	states  []threads
	numbers map[threads]uint8
	table   *table
}

// newTable makes the table of a program; nil: it looks at where it is in a text, or the table would be too large.
func newTable(program *syntax.Prog) *table {
	m := &tabling{program: program, follow: make([]threads, len(program.Inst)), numbers: map[threads]uint8{}, table: &table{}}
	for pc := range program.Inst {
		op := program.Inst[pc].Op
		if op == syntax.InstEmptyWidth {
			return nil
		}
		if op == syntax.InstMatch {
			m.match = uint32(pc)
		}
		m.reach(&m.follow[pc], uint32(pc))
	}
	m.classify()
	if !m.explore() {
		return nil
	}
	return m.table
}

// reach adds an instruction and those that follow it without a byte.
func (m *tabling) reach(s *threads, pc uint32) {
	if s.has(pc) {
		return
	}
	s.put(pc)
	switch i := &m.program.Inst[pc]; i.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		m.reach(s, i.Out)
		m.reach(s, i.Arg)
	case syntax.InstCapture, syntax.InstNop:
		m.reach(s, i.Out)
	case syntax.InstEmptyWidth, syntax.InstMatch, syntax.InstFail, syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
	}
}

// classify divides the bytes into classes.
func (m *tabling) classify() {
	known := map[threads]uint8{}
	for c := range m.table.class {
		var takes threads
		for pc := range m.program.Inst {
			if i := &m.program.Inst[pc]; isRune(i.Op) && i.MatchRune(rune(c)) {
				takes.put(uint32(pc))
			}
		}
		class, ok := known[takes]
		if !ok {
			class = uint8(len(m.takes))
			known[takes] = class
			m.takes = append(m.takes, takes)
		}
		m.table.class[c] = class
	}
	m.table.classes = len(m.takes)
}

func isRune(op syntax.InstOp) bool {
	return op == syntax.InstRune || op == syntax.InstRune1 || op == syntax.InstRuneAny || op == syntax.InstRuneAnyNotNL
}

// explore finds all states and what they lead to. ok is false if the table would be too large.
func (m *tabling) explore() (ok bool) {
	m.number(&threads{}) // 0
	m.number(&m.follow[m.program.Start])
	for state := 0; state < len(m.states); state++ {
		if len(m.states) > 0xff || len(m.states)*m.table.classes > maxTable {
			return false
		}
		for class := range m.takes {
			next := m.step(&m.states[state], class)
			m.table.next = append(m.table.next, m.number(&next))
		}
	}
	for i := range m.states {
		m.table.accepts = append(m.table.accepts, m.states[i].has(m.match))
	}
	return true
}

// number returns the number of a state, which is a new one if it has none. It may be too large for the table, which explore notices.
func (m *tabling) number(s *threads) uint8 {
	n, ok := m.numbers[*s]
	if !ok {
		n = uint8(len(m.states))
		m.numbers[*s] = n
		m.states = append(m.states, *s)
	}
	return n
}

// step is the state behind a byte of a class.
func (m *tabling) step(from *threads, class int) (to threads) {
	for i := range from {
		for taking := from[i] & m.takes[class][i]; taking != 0; taking &= taking - 1 {
			pc := i*64 + bits.TrailingZeros64(taking)
			to.add(&m.follow[m.program.Inst[pc].Out])
		}
	}
	return to
}
