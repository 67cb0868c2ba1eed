package method

import (
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/agent/call"
)

// registry is the method registry as IANA publishes it: name, safe, idempotent.
const registry = `
ACL no yes
BASELINE-CONTROL no yes
BIND no yes
CHECKIN no yes
CHECKOUT no yes
CONNECT no no
COPY no yes
DELETE no yes
GET yes yes
HEAD yes yes
LABEL no yes
LINK no yes
LOCK no no
MERGE no yes
MKACTIVITY no yes
MKCALENDAR no yes
MKCOL no yes
MKREDIRECTREF no yes
MKWORKSPACE no yes
MOVE no yes
OPTIONS yes yes
ORDERPATCH no yes
PATCH no no
POST no no
PRI yes yes
PROPFIND yes yes
PROPPATCH no yes
PUT no yes
QUERY yes yes
REBIND no yes
REPORT yes yes
SEARCH yes yes
TRACE yes yes
UNBIND no yes
UNCHECKOUT no yes
UNLINK no yes
UNLOCK no yes
UPDATE no yes
UPDATEREDIRECTREF no yes
VERSION-CONTROL no yes
* no no
`

func TestRule09_MethodsHaveTheClassTheyAreRegisteredWith(t *testing.T) {
	classes := map[string]call.Method{"yes yes": call.Safe, "no yes": call.Idempotent, "no no": call.Unsafe}
	for line := range strings.Lines(strings.TrimSpace(registry)) {
		name, flags, _ := strings.Cut(strings.TrimSpace(line), " ")
		if got := ClassOf([]byte(name)); got != classes[flags] {
			t.Errorf("%s has class %v, registered as safe and idempotent: %s", name, got, flags)
		}
	}
}

func TestRule09_UnknownMethodsAreUnsafe(t *testing.T) {
	for _, name := range []string{"", "get", "Get", "GETS", "GE", "SUBSCRIBE", "PURGE", "BREW"} {
		if got := ClassOf([]byte(name)); got != call.Unsafe {
			t.Errorf("%q has class %v", name, got)
		}
	}
}

func BenchmarkClassOf(b *testing.B) {
	name := []byte("GET")
	b.ReportAllocs()
	for b.Loop() {
		ClassOf(name)
	}
}
