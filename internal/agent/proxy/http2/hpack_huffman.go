package http2

const (
	longestCode = 30
	endOfString = 256
)

// huffman is the canonical code, arranged for decoding.
type huffman struct {
	// short has for each first byte the symbol whose code begins there, if the code is no longer than the byte, and its length.
	short [256]struct{ symbol, bits uint8 }
	// symbols are in the order of their codes; those of one length begin at from, with the code first.
	symbols     [257]uint16
	first, from [longestCode + 2]uint32
}

var huffmanCode = func() *huffman {
	h := new(huffman)
	n, code := uint32(0), uint32(0)
	for bits := 1; bits <= longestCode; bits++ {
		code <<= 1
		h.first[bits], h.from[bits] = code, n
		for symbol, l := range codeLengths {
			if int(l) != bits {
				continue
			}
			h.symbols[n] = uint16(symbol)
			if bits <= 8 {
				for i := range 1 << (8 - bits) {
					h.short[int(code)<<(8-bits)|i] = struct{ symbol, bits uint8 }{uint8(symbol), uint8(bits)}
				}
			}
			n, code = n+1, code+1
		}
	}
	h.from[longestCode+1] = n
	return h
}()

// appendHuffman appends what src decodes to.
func appendHuffman(dst, src []byte) (out []byte, ok bool) {
	h := huffmanCode
	acc, have := uint64(0), uint(0) // bits not yet decoded, at the upper end of acc
	for {
		for have <= 56 && len(src) > 0 {
			acc |= uint64(src[0]) << (56 - have)
			have += 8
			src = src[1:]
		}
		e := h.short[acc>>56]
		symbol, bits := uint16(e.symbol), uint(e.bits)
		if bits == 0 {
			symbol, bits = h.long(acc)
		}
		if bits == 0 || bits > have {
			// RFC 7541 section 5.2: padding is less than a byte, of the first bits of the end of string, which are ones.
			return dst, have < 8 && acc == ^(^uint64(0)>>have)
		}
		if symbol == endOfString {
			return dst, false
		}
		dst = append(dst, byte(symbol))
		acc <<= bits
		have -= bits
	}
}

// long finds the symbol whose code, longer than a byte, begins acc.
func (h *huffman) long(acc uint64) (symbol uint16, bits uint) {
	for bits = 9; bits <= longestCode; bits++ {
		i := uint32(acc>>(64-bits)) - h.first[bits]
		if i < h.from[bits+1]-h.from[bits] {
			return h.symbols[h.from[bits]+i], bits
		}
	}
	return 0, 0
}
