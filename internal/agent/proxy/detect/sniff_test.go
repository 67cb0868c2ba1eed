package detect

import (
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want Protocol
	}{
		"nothing":                   {"", Undecided},
		"part of a method":          {"GE", Undecided},
		"a method":                  {"GET ", Undecided},
		"part of a request line":    {"GET /a HTTP/1", Undecided},
		"request line":              {"GET /a HTTP/1.1\r\n", HTTP1},
		"request line and more":     {"POST /a HTTP/1.0\r\nHost: a\r\n", HTTP1},
		"an unusual method":         {"M-SEARCH * HTTP/1.1\r\n", HTTP1},
		"lower case method":         {"get / HTTP/1.1\r\n", HTTP1},
		"bare LF, to be refused":    {"GET / HTTP/1.1\n", HTTP1},
		"two spaces, to be refused": {"GET  /  HTTP/1.1\r\n", HTTP1},
		"HTTP/1.9, to be refused":   {"GET / HTTP/1.9\r\n", HTTP1},
		"HTTP/0.9":                  {"GET /\r\n", Other},
		"HTTP/2 in a request line":  {"GET / HTTP/2.0\r\n", Other},
		"preface":                   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00", HTTP2},
		"part of the preface":       {"PRI * HTTP/2.0\r\n\r\n", Undecided},
		"one byte of the preface":   {"P", Undecided},
		"nearly the preface":        {"PRI * HTTP/2.0\r\nHost: a\r\n", Other},
		"a method like the preface": {"PRINT / HTTP/1.1\r\n", HTTP1},
		"TLS 1.2":                   {"\x16\x03\x01\x02\x00\x01", TLS},
		"TLS 1.3":                   {"\x16\x03\x03\x02\x00\x01", TLS},
		"part of a record":          {"\x16\x03\x01\x02\x00", Undecided},
		"one byte of a record":      {"\x16", Undecided},
		"another record version":    {"\x16\x02\x01\x02\x00\x01", Other},
		"a ServerHello":             {"\x16\x03\x01\x02\x00\x02", Other},
		"a TLS alert":               {"\x15\x03\x01\x00\x02\x01", Other},
		"an empty record":           {"\x16\x03\x01\x00\x00", Other},
		"too long a record":         {"\x16\x03\x01\x40\x01", Other},
		"SSH":                       {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Other},
		"SSH without its end":       {"SSH-2.0-Open", Undecided},
		"SMTP":                      {"EHLO a.example\r\n", Other},
		"memcached":                 {"get /key HTTP\r\n", Other},
		"redis inline":              {"SET a b\r\n", Other},
		"redis":                     {"*1\r\n$4\r\nPING\r\n", Other},
		"postgres":                  {"\x00\x00\x00\x08\x04\xd2\x16\x2f", Other},
		"kafka":                     {"\x00\x00\x00\x20\x00\x12", Other},
		"mongodb":                   {"\x3a\x00\x00\x00", Other},
		"a word that never ends":    {strings.Repeat("a", 65), Other},
		"a long method":             {strings.Repeat("a", 64) + " / HTTP/1.1\r\n", HTTP1},
		"a method of all kinds":     {"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n", HTTP1},
		"a line that never ends":    {"say " + strings.Repeat("a", Limit), Other},
		"a long target":             {"GET /" + strings.Repeat("a", Limit), HTTP1},
		"a long absolute target":    {"GET http://" + strings.Repeat("a", Limit), HTTP1},
		"a target just too short":   {"GET /" + strings.Repeat("a", lineLimit-6), Undecided},
		"an empty line":             {"\r\nGET / HTTP/1.1\r\n", HTTP1},
		"empty lines":               {"\r\n\r\nGET / HTTP/1.1\r\n", HTTP1},
		"only empty lines":          {"\r\n\r\n", Undecided},
		"part of an empty line":     {"\r", Undecided},
		"too many empty lines":      {"\r\n\r\n\r\nGET / HTTP/1.1\r\n", Other},
		"a bare LF first":           {"\nGET / HTTP/1.1\r\n", Other},
		"a bare CR first":           {"\rGET / HTTP/1.1\r\n", Other},
		"a preface behind a line":   {"\r\nPRI * HTTP/2.0\r\n", Other},
		"a space first":             {" GET / HTTP/1.1\r\n", Other},
		"PROXY protocol":            {"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Other},
		"a response":                {"HTTP/1.1 200 OK\r\n", Other},
		"a NUL":                     {"\x00", Other},
		"a method and a line break": {"QUIT\r\n", Other},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Detect([]byte(tc.in)); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// What other protocols' clients say first passes at once: nothing of it can become a request line.
func TestOtherProtocolsAreNotWaitedFor(t *testing.T) {
	for _, words := range []string{
		"USER anonymous\r\n", "NICK a\r\n", "CONNECT {\"verbose\":false}\r\n", "CONNECT\naccept-version:1.2\n\n\x00", "STOMP\n",
		"OPTIONS rtsp://a/b RTSP/1.0\r\n", "INVITE sip:a@b SIP/2.0\r\n", "<?xml version='1.0'?>", "<stream:stream", "/selector\r\n",
		"example.com\r\n", "\xff\xfd\x18", "*1\r", "$4\r\n", "PING\r\n", "+OK\r\n", "\x10\x0e\x00\x04MQTT", "AMQP\x00\x00\x09\x01",
		"\x13BitTorrent protocol", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f", "\x80\x01\x00\x01", "\x00\x00\x00\x57", "\x04\x00\x00\x00\x05",
		"\x60\x60\xb0\x17", "{\"id\":1}", "[1]", "version\r\n", "stats\n", "get a\r\n", "set a 0 0 1\r\n", "LIST\r\n", "EHLO a\r\n",
		"A001 CAPABILITY\r\n", "SSH-2.0-Go\r\n", "RFB 003.008\n", "\x30\x0c\x02\x01\x01", "\x03\x00\x00\x13\x0e\xe0", "JOIN #a\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "\r\n\r\n\x00", "GET /\r\n", "GET /\n", "ICY 200 OK\r\n", "HELO\r\n", "ruok\n",
	} {
		if got := Detect([]byte(words)); got != Other {
			t.Errorf("%q: got %d", words, got)
		}
	}
}

func TestDetectDoesNotAllocate(t *testing.T) {
	in := []byte("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
	if n := testing.AllocsPerRun(100, func() { Detect(in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDetect checks that more bytes never change a verdict, and that there is one when Limit is reached.
func FuzzDetect(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "PRIX", "SSH-2.0-a b\r\n", "a b HTTP/1.1\r\n",
		"\r\n\r\nGET / HTTP/1.1\r\n", "\r\n\r\n\r\n", "\r\r",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		verdict := Undecided
		for n := range len(in) + 1 {
			got := Detect(in[:n])
			if verdict != Undecided && got != verdict {
				t.Fatalf("%d at %d bytes, %d before", got, n, verdict)
			}
			if got == Silent || got == Undecided && n >= Limit {
				t.Fatalf("%d at %d bytes", got, n)
			}
			verdict = got
		}
	})
}
