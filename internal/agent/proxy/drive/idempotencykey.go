package drive

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/proxy/route"
	"fairlead.dev/fairlead/internal/agent/routes"
)

// Key says what the policy wants of an idempotency key (rule 16): keyed, that the request counts as one that has one; generate, that
// one is to be added. A key counts if it is forwarded and not empty; one is added to requests that lack it, except to those
// with safe methods, and to CONNECT, which has no result that a server could store under a key.
func Key(p *routes.Plan, v route.View, class call.Method, connect bool) (keyed, generate bool) {
	retry := &p.Settings.Retry
	if class == call.Safe || class != call.Unsafe && !retry.GenerateKey || p.KeyHeader == "" {
		return false, false
	}
	_, keyed = v.Header(p.KeyHeader)
	if !keyed && retry.GenerateKey && !connect {
		return true, true
	}
	return keyed, false
}

// ShadowKeyed is keyed of Key for what a call would come under, whose key is not added.
func ShadowKeyed(p *routes.Plan, v route.View, class call.Method, connect bool) bool {
	if p.Would == nil {
		return false
	}
	keyed, _ := Key(p.Would, v, class, connect)
	return keyed
}

// AppendKey appends a key that no other call has: 122 random bits in the form of a version 4 UUID (RFC 9562 section 5.4). It is made
// once per call, so that every attempt carries the same (rule 16).
func AppendKey(dst []byte) []byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}
