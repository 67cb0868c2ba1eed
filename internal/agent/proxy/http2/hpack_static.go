package http2

import "fairlead.dev/fairlead/internal/agent/proxy/syntax"

// known are the fields that the codec itself understands.
type known uint8

const (
	kOther known = iota
	kMethod
	kScheme
	kAuthority
	kPath
	kStatus
	kProtocol
	pseudos        // how many kinds before this one are pseudo-headers, kOther counted
	kPseudoUnknown = iota
	kConnection
	kTE
	kHost
	kContentLength
	kCookie
	kSecret // others that are not indexed unless the sender did
)

// meta is what is known of a field without looking at it again.
type meta struct {
	hash   uint32 // of name and value
	static uint8  // the index of the static table that has the name, or 0
	whole  bool   // the entry there has the value too
	kind   known
	fault  fault
}

// fault is what is wrong with a field by itself.
type fault uint8

const (
	faultName fault = 1 << iota
	faultValue
	faultBlank // white space around the value
)

// staticTable is that of RFC 7541 appendix A; index 0 is not used.
var staticTable = [...]struct{ name, value string }{
	{}, {":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"}, {":scheme", "http"},
	{":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"}, {":status", "304"}, {":status", "400"},
	{":status", "404"}, {":status", "500"}, {"accept-charset", ""}, {"accept-encoding", "gzip, deflate"}, {"accept-language", ""},
	{"accept-ranges", ""}, {"accept", ""}, {"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""}, {"authorization", ""},
	{"cache-control", ""}, {"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""}, {"content-length", ""},
	{"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""}, {"etag", ""}, {"expect", ""},
	{"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""}, {"if-modified-since", ""}, {"if-none-match", ""}, {"if-range", ""},
	{"if-unmodified-since", ""}, {"last-modified", ""}, {"link", ""}, {"location", ""}, {"max-forwards", ""}, {"proxy-authenticate", ""},
	{"proxy-authorization", ""}, {"range", ""}, {"referer", ""}, {"refresh", ""}, {"retry-after", ""}, {"server", ""}, {"set-cookie", ""},
	{"strict-transport-security", ""}, {"transfer-encoding", ""}, {"user-agent", ""}, {"vary", ""}, {"via", ""}, {"www-authenticate", ""},
}

const staticLen = len(staticTable) - 1

var staticMeta = func() (m [staticLen + 1]meta) {
	for i, e := range staticTable {
		if i > 0 {
			m[i] = metaOfName([]byte(e.name))
			m[i].static, m[i].whole = uint8(i), true
			m[i].hash = hashField([]byte(e.name), []byte(e.value))
		}
	}
	return m
}()

// staticNames finds the first entry of a name.
var staticNames = func() map[string]uint8 {
	m := make(map[string]uint8, staticLen)
	for i := staticLen; i > 0; i-- {
		m[staticTable[i].name] = uint8(i)
	}
	return m
}()

// staticFirst is the first entry with the name of each.
var staticFirst = func() (first [staticLen + 1]uint8) {
	for i := 1; i <= staticLen; i++ {
		first[i] = staticNames[staticTable[i].name]
	}
	return first
}()

// metaOfName classifies a name: whether it can be one, what it means, and where the static table has it.
func metaOfName(name []byte) meta {
	m := meta{static: staticNames[string(name)], kind: kindOf(name)}
	if !validName(name) {
		m.fault = faultName
	}
	return m
}

func kindOf(name []byte) known {
	switch string(name) {
	case ":method":
		return kMethod
	case ":scheme":
		return kScheme
	case ":authority":
		return kAuthority
	case ":path":
		return kPath
	case ":status":
		return kStatus
	case ":protocol":
		return kProtocol
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return kConnection
	case "te":
		return kTE
	case "host":
		return kHost
	case "content-length":
		return kContentLength
	case "cookie":
		return kCookie
	case "authorization", "proxy-authorization", "set-cookie":
		return kSecret
	}
	if len(name) > 0 && name[0] == ':' {
		return kPseudoUnknown
	}
	return kOther
}

// withValue completes the meta of a name for a field with a value.
func (m meta) withValue(name, value []byte) meta {
	m.hash, m.whole = hashField(name, value), false
	m.fault &^= faultValue | faultBlank
	if !syntax.Clean(value) {
		m.fault |= faultValue
	}
	if len(value) > 0 && (blank(value[0]) || blank(value[len(value)-1])) {
		m.fault |= faultBlank
	}
	if m.static == 0 {
		return m
	}
	m.static = staticFirst[m.static]
	for i := int(m.static); i <= staticLen && staticTable[i].name == staticTable[m.static].name; i++ {
		if staticTable[i].value == string(value) {
			m.static, m.whole = uint8(i), true
			break
		}
	}
	return m
}

// hashField is for finding equal fields; what it says is compared.
func hashField(name, value []byte) uint32 {
	h := hashBytes(hashBytes(uint64(len(name)), name), value)
	return uint32(h ^ h>>32)
}

func hashBytes(h uint64, b []byte) uint64 {
	const prime = 0x9e3779b97f4a7c15
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ le64(b)) * prime
		h ^= h >> 29
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * prime
	}
	return h ^ h>>31
}
