package http2

import "fairlead.dev/fairlead/internal/agent/proxy/syntax"

// CountForwards takes one off the Max-Forwards of an OPTIONS or a TRACE that is to be forwarded (RFC 9110 section 7.6.2). last: it has come to
// zero, and the recipient "MUST NOT forward the request; instead, the recipient MUST respond as the final recipient". With other methods the
// field is not looked at, and forwarded as it is.
func (b *Block) CountForwards() (last bool) {
	switch string(b.Method()) {
	case "OPTIONS", "TRACE":
	default:
		return false
	}
	for i := range b.fields {
		if f := &b.fields[i]; string(b.nameOf(f)) == "max-forwards" && syntax.NoForwards(b.valueOf(f)) {
			return true
		}
	}
	for i := range b.fields {
		if f := &b.fields[i]; string(b.nameOf(f)) == "max-forwards" {
			less := syntax.AppendLess(b.valueOf(f)[:0], b.valueOf(f)) // in place: it is never longer
			b.size -= int(f.value) - len(less)
			f.value = uint32(len(less))
			f.meta = f.meta.withValue(b.nameOf(f), less)
		}
	}
	return false
}

// AppendReflection appends the content of a final recipient's answer to TRACE (RFC 9110 section 9.3.8): the request as message/http spells it,
// without the fields that may be secret.
func (b *Block) AppendReflection(dst []byte) []byte {
	dst = append(append(append(append(dst, b.Method()...), ' '), b.Path()...), " HTTP/2.0\r\n"...)
	if b.has(kAuthority) {
		dst = appendLine(dst, []byte("host"), b.Authority())
	}
	for i := range b.fields {
		f := &b.fields[i]
		if name := b.nameOf(f); name[0] != ':' && !syntax.Sensitive(name) && !(b.has(kAuthority) && f.meta.kind == kHost) {
			dst = appendLine(dst, name, b.valueOf(f))
		}
	}
	return append(dst, "\r\n"...)
}

func appendLine(dst, name, value []byte) []byte {
	return append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
}
