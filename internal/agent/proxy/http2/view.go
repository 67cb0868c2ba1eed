package http2

// Method implements route.View: it is :method.
func (b *Block) Method() []byte { return b.value(kMethod) }

// Scheme is :scheme.
func (b *Block) Scheme() []byte { return b.value(kScheme) }

// Authority is :authority.
func (b *Block) Authority() []byte { return b.value(kAuthority) }

// Path is :path.
func (b *Block) Path() []byte { return b.value(kPath) }

// Protocol is :protocol of an extended CONNECT (RFC 8441).
func (b *Block) Protocol() []byte { return b.value(kProtocol) }

// Host implements route.View: it is :authority, or host if there is none.
func (b *Block) Host() []byte {
	if b.has(kAuthority) {
		return b.value(kAuthority)
	}
	return b.value(kHost)
}

// Target implements route.View: it is :path, or :authority for CONNECT.
func (b *Block) Target() []byte {
	if b.has(kPath) {
		return b.value(kPath)
	}
	return b.value(kAuthority)
}

// Header implements route.View. The crumbs of cookies, which are forwarded apart, are one value here (RFC 9113 section 8.2.3).
func (b *Block) Header(lower string) (value []byte, ok bool) {
	if lower == "cookie" && b.cookies > 1 {
		return b.joinedCookie()
	}
	if len(lower) == 0 || lower[0] == ':' {
		return nil, false
	}
	for i := range b.fields {
		f := &b.fields[i]
		if int(f.name) == len(lower) && f.value > 0 && f.as != dropped && string(b.nameOf(f)) == lower {
			return b.valueOf(f), true
		}
	}
	return nil, false
}

// AnyHeader implements route.View, with cookies as Header has them.
func (b *Block) AnyHeader(lower string, value interface{ Fits(text []byte) bool }) bool {
	if lower == "cookie" && b.cookies > 1 {
		all, ok := b.joinedCookie()
		return ok && value.Fits(all)
	}
	if len(lower) == 0 || lower[0] == ':' {
		return false
	}
	for i := range b.fields {
		f := &b.fields[i]
		if int(f.name) == len(lower) && f.as != dropped && string(b.nameOf(f)) == lower && value.Fits(b.valueOf(f)) {
			return true
		}
	}
	return false
}

func (b *Block) joinedCookie() ([]byte, bool) {
	if len(b.cookie) == 0 {
		for i := range b.fields {
			if f := &b.fields[i]; f.meta.kind == kCookie && f.value > 0 {
				if len(b.cookie) > 0 {
					b.cookie = append(b.cookie, "; "...)
				}
				b.cookie = append(b.cookie, b.valueOf(f)...)
			}
		}
	}
	return b.cookie, len(b.cookie) > 0
}

// Status is the status code of a response, 0 if there is none.
func (b *Block) Status() int {
	v := b.value(kStatus)
	if len(v) != 3 {
		return 0
	}
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// ContentLength is the value of content-length, if there is one.
func (b *Block) ContentLength() (n int64, ok bool) { return b.length, b.has(kContentLength) }
