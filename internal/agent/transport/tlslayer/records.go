package tlslayer

// closeNotify is no failure, but the end (RFC 8446 section 6.1).
const closeNotify = 0

// records looks through what a client sends in its handshake for an alert that is not sealed. Clients that use OpenSSL send one when they do
// not like a certificate, in TLS 1.3 too, before they have begun to seal; crypto/tls takes it for a damaged record then.
type records struct {
	head    [recordHeader + 2]byte // of the record under way, and its content where that is an alert in the clear
	have    int                    // of head
	left    int                    // of the record, to be passed over
	alert   uint8
	alerted bool
}

// recordHeader is the length of a record's header.
const recordHeader = 5

// see looks at the next bytes.
func (r *records) see(p []byte) {
	for len(p) > 0 {
		if r.left > 0 {
			n := min(r.left, len(p))
			p, r.left = p[n:], r.left-n
			continue
		}
		r.head[r.have] = p[0]
		p = p[1:]
		if r.have++; r.have < recordHeader {
			continue
		}
		length := int(r.head[3])<<8 | int(r.head[4])
		switch clear := r.head[0] == recordAlert && length == 2; {
		case !clear:
			r.have, r.left = 0, length
		case r.have == len(r.head):
			r.have, r.alert, r.alerted = 0, r.head[6], true
		}
	}
}
