package detect

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// helloOf returns the ClientHello of crypto/tls.
func helloOf(t testing.TB, c *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(theirs, c).HandshakeContext(ctx)
		theirs.Close()
	}()
	header := make([]byte, recordHeader)
	if _, err := io.ReadFull(ours, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(ours, body); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	return append(header, body...)
}

// inRecords cuts a ClientHello in one record into records of n bytes.
func inRecords(hello []byte, n int) (out []byte) {
	for body := hello[recordHeader:]; len(body) > 0; {
		part := body[:min(n, len(body))]
		out = append(out, recordHandshake, 3, 1, byte(len(part)>>8), byte(len(part)))
		out = append(out, part...)
		body = body[len(part):]
	}
	return out
}

// made is a ClientHello with extensions.
func made(extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0)             // no session
	body = append(body, 0, 2, 0x13, 1) // one cipher suite
	body = append(body, 1, 0)          // no compression
	all := bytes.Join(extensions, nil)
	if len(extensions) > 0 {
		body = append(binary.BigEndian.AppendUint16(body, uint16(len(all))), all...)
	}
	message := append([]byte{handshakeHello, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{recordHandshake, 3, 1, byte(len(message) >> 8), byte(len(message))}, message...)
}

func extension(kind uint16, data ...byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, kind)
	return append(binary.BigEndian.AppendUint16(out, uint16(len(data))), data...)
}

// offering is a ClientHello that offers application protocols.
func offering(protocols ...string) []byte {
	var list []byte
	for _, p := range protocols {
		list = append(append(list, byte(len(p))), p...)
	}
	return made(extension(extALPN, append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)...))
}

func serverName(name string) []byte {
	entry := append([]byte{nameTypeHost, byte(len(name) >> 8), byte(len(name))}, name...)
	return extension(extServerName, append([]byte{byte(len(entry) >> 8), byte(len(entry))}, entry...)...)
}

func TestParseHello(t *testing.T) {
	quantum := helloOf(t, &tls.Config{ServerName: "api.example", NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13})
	old := helloOf(t, &tls.Config{ServerName: "api.example", MaxVersion: tls.VersionTLS12})
	if len(quantum) < 1200 {
		t.Fatalf("%d bytes are no hello with a quantum-safe key share", len(quantum))
	}
	for name, tc := range map[string]struct {
		give  []byte
		want  Hello
		state helloState
	}{
		"TLS 1.3, quantum-safe":   {quantum, Hello{Name: "api.example", HTTP2: true}, helloWhole},
		"TLS 1.2":                 {old, Hello{Name: "api.example"}, helloWhole},
		"in several records":      {inRecords(quantum, 100), Hello{Name: "api.example", HTTP2: true}, helloWhole},
		"a byte for each record":  {inRecords(old, 1), Hello{Name: "api.example"}, helloWhole},
		"with more behind it":     {append(bytes.Clone(old), "more"...), Hello{Name: "api.example"}, helloWhole},
		"both protocols":          {offering("mqtt", "http/1.1", "h2", "h3"), Hello{HTTP1: true, HTTP2: true}, helloWhole},
		"a protocol like another": {offering("http/1.10", "h2c", "H2"), Hello{}, helloWhole},
		"protocols cut off":       {made(extension(extALPN, 0, 9, 2, 'h', '2', 8, 'h')), Hello{}, helloWhole},
		"no protocols":            {made(extension(extALPN)), Hello{}, helloWhole},
		"no name":                 {helloOf(t, &tls.Config{InsecureSkipVerify: true}), Hello{}, helloWhole},
		"an address for a name":   {helloOf(t, &tls.Config{ServerName: "192.0.2.1"}), Hello{}, helloWhole},
		"no extensions":           {made(), Hello{}, helloWhole},
		"upper case and a dot":    {made(serverName("API.Example.")), Hello{Name: "api.example"}, helloWhole},
		"encrypted":               {made(serverName("public.example"), extension(extECH, 0, 1, 2)), Hello{Hidden: true}, helloWhole},
		"two names":               {made(serverName("a.example"), serverName("b.example")), Hello{}, helloBroken},
		"a name with a space":     {made(serverName("a b")), Hello{}, helloBroken},
		"a name with a zero":      {made(serverName("a\x00b")), Hello{}, helloBroken},
		"a name with a colon":     {made(serverName("secret.internal:443.example.com")), Hello{}, helloBroken},
		"a name that is a URL":    {made(serverName("a@b/c.example.com")), Hello{}, helloBroken},
		"a name with an escape":   {made(serverName("a%3a443.example.com")), Hello{}, helloBroken},
		"an address of IPv6":      {made(serverName("[2001:db8::1]")), Hello{}, helloBroken},
		"not of ASCII":            {made(serverName("ä.example.com")), Hello{}, helloBroken},
		"an underscore":           {made(serverName("_a-1.Example.com")), Hello{Name: "_a-1.example.com"}, helloWhole},
		"an empty name":           {made(serverName("")), Hello{}, helloBroken},
		"a name that is too long": {made(serverName(strings.Repeat("a", 254))), Hello{}, helloBroken},
		"an unknown type of name": {made(extension(extServerName, 0, 4, 1, 0, 1, 'a')), Hello{}, helloBroken},
		"a length beyond the end": {made(extension(extServerName, 0, 9, 0, 0, 1, 'a')), Hello{}, helloBroken},
		"another message":         {[]byte{recordHandshake, 3, 1, 0, 4, 2, 0, 0, 0}, Hello{}, helloBroken},
		"another record":          {append(inRecords(old, 100)[:105], 23, 3, 3, 0, 1, 0), Hello{}, helloBroken},
		"one that is too long":    {[]byte{recordHandshake, 3, 1, 0x40, 0, handshakeHello, 1, 0, 0}, Hello{}, helloBroken},
		"an empty record":         {[]byte{recordHandshake, 3, 1, 0, 0}, Hello{}, helloBroken},
	} {
		t.Run(name, func(t *testing.T) {
			if got, state := parseHello(tc.give); got != tc.want || state != tc.state {
				t.Errorf("%+v, %d; want %+v, %d", got, state, tc.want, tc.state)
			}
		})
	}
	for _, whole := range [][]byte{quantum, inRecords(old, 7)} {
		for n := range whole {
			if got, state := parseHello(whole[:n]); state != helloPart {
				t.Fatalf("%d bytes: %+v, %d", n, got, state)
			}
		}
	}
}

// malformedProtocols are contents of an ALPN extension of which a length does not fit.
func malformedProtocols() map[string][]byte {
	return map[string][]byte{
		"none":                            {},
		"half a length":                   {0},
		"a list that is too long":         {0, 9, 2, 'h', '2'},
		"a list that is too short":        {0, 3, 2, 'h', '2', 0},
		"a name that is too long":         {0, 3, 5, 'a', 'b'},
		"a name that is too long, behind": {0, 6, 2, 'h', '2', 5, 'a', 'b'},
		"a length and no name":            {0, 1, 5},
	}
}

// A list of protocols whose lengths do not fit offers none of them, and is read to an end.
func TestMalformedProtocolsOfferNothing(t *testing.T) {
	for name, data := range malformedProtocols() {
		t.Run(name, func(t *testing.T) {
			got, state := parseHello(made(serverName("api.example"), extension(extALPN, data...)))
			if want := (Hello{Name: "api.example"}); got != want || state != helloWhole {
				t.Errorf("%+v, %d; want %+v", got, state, want)
			}
		})
	}
}

// Whatever is read from fields ends, also behind the first length that does not fit: nothing is left then.
func TestNothingIsLeftBehindALengthThatDoesNotFit(t *testing.T) {
	f := fields{rest: []byte{5, 'a', 'b'}}
	if got := f.next(1); got != nil || !f.bad || len(f.rest) != 0 {
		t.Errorf("%q, %+v", got, f)
	}
}

// pieces is a source that yields a piece at a time, and then an error.
type pieces struct {
	left []string
	got  []byte
	err  error
	set  []time.Time
}

func (p *pieces) Buffered() []byte { return p.got }

func (p *pieces) More() error {
	if len(p.left) == 0 {
		return p.err
	}
	p.got, p.left = append(p.got, p.left[0]...), p.left[1:]
	return nil
}

func (p *pieces) SetReadDeadline(t time.Time) error {
	p.set = append(p.set, t)
	return nil
}

func TestWaitHello(t *testing.T) {
	hello := string(helloOf(t, &tls.Config{ServerName: "api.example"}))
	for name, tc := range map[string]struct {
		give pieces
		want Hello
		err  error
	}{
		"whole":               {give: pieces{got: []byte(hello)}, want: Hello{Name: "api.example"}},
		"in packets":          {give: pieces{got: []byte(hello[:6]), left: []string{hello[6:200], hello[200:]}}, want: Hello{Name: "api.example"}},
		"not in time":         {give: pieces{got: []byte(hello[:6]), err: os.ErrDeadlineExceeded}},
		"ended":               {give: pieces{got: []byte(hello[:6]), err: io.EOF}},
		"reset, nothing kept": {give: pieces{err: net.ErrClosed}, err: net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := WaitHello(&tc.give, &tc.give)
			if got != tc.want || err != tc.err {
				t.Errorf("%+v, %v", got, err)
			}
			if n := len(tc.give.set); err == nil && n > 0 && !tc.give.set[n-1].IsZero() {
				t.Error("the deadline stays")
			}
		})
	}
}

// Nothing that a client sends makes more of a hello than a name that can be one.
func FuzzParseHello(f *testing.F) {
	f.Add(made(serverName("api.example")))
	f.Add(inRecords(made(serverName("api.example"), extension(extECH)), 3))
	f.Add(helloOf(f, &tls.Config{ServerName: "api.example"}))
	f.Add(offering("h2", "http/1.1"))
	for _, data := range malformedProtocols() {
		f.Add(made(extension(extALPN, data...)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, state := parseHello(b)
		if state != helloWhole && h != (Hello{}) || len(h.Name) > 253 || strings.Trim(h.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || h.Hidden && h.Name != "" {
			t.Errorf("%+v, %d", h, state)
		}
		if state == helloWhole { // what follows changes nothing
			if again, s := parseHello(append(bytes.Clone(b), 0)); again != h || s != state {
				t.Errorf("%+v, %d; then %+v, %d", h, state, again, s)
			}
		}
	})
}
