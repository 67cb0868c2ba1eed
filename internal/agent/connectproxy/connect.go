package connectproxy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Conn is a connection to a proxy. Its owner sees to it that waiting ends.
type Conn interface {
	// Read waits for bytes and reads them.
	Read(p []byte, now, until time.Time) (int, error)
	// Write writes everything.
	Write(p []byte) (int, error)
}

// Request is what is asked of a proxy.
type Request struct {
	// Host and Port are where the proxy is to connect to; Host is a name or an address.
	Host string
	Port uint16
	// Username and Password are sent if one of them is not empty (RFC 7617).
	Username, Password string
}

// Refused is the error of a proxy that answered and did not connect.
type Refused struct{ Status int }

// Error implements error. It says nothing of what else the proxy wrote.
func (e *Refused) Error() string { return fmt.Sprintf("the proxy answered %d", e.Status) }

// Unreachable reports whether the proxy was willing, and could not reach the host: another attempt may succeed. Every other refusal stands.
func (e *Refused) Unreachable() bool {
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Unauthorized reports whether the proxy wants other credentials.
func (e *Refused) Unauthorized() bool { return e.Status == http.StatusProxyAuthRequired }

// ErrMalformed is the error of a proxy whose answer cannot be understood, or is none.
var ErrMalformed = errors.New("the proxy's answer is malformed")

// ErrHost is the error for a host that cannot be named in a request. Nothing is asked then.
var ErrHost = errors.New("the host's name is none that a proxy could be asked for")

// ErrCredentials is the error for credentials that are needed and not known. Nothing is asked then.
var ErrCredentials = errors.New("the credentials for the proxy are not known")

// Final reports whether an error of Connect says that the proxy does not let the call through, rather than that it may another time.
func Final(err error) bool {
	var refused *Refused
	return errors.As(err, &refused) && !refused.Unreachable() || errors.Is(err, ErrMalformed) || errors.Is(err, ErrHost)
}

// nameable reports whether a host can stand in a request without changing what the request says. A colon stands in an address alone: some proxies
// would take what is before one in a name for the host.
func nameable(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Zone() == "" // which means nothing to a proxy, and may be any text
	}
	return host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == ""
}

// maxHead is how long a proxy's answer may be.
const maxHead = 16 << 10

// maxInterim is how many answers that are not final are passed over.
const maxInterim = 8

// Connect asks a proxy for a connection. When it returns nil, what is read from c and written to it is the host's.
func Connect(c Conn, r Request) error {
	if !nameable(r.Host) {
		return ErrHost
	}
	if _, err := c.Write(appendRequest(nil, &r)); err != nil {
		return err
	}
	for range maxInterim {
		head, err := readHead(c)
		if err != nil {
			return err
		}
		status, ok := statusOf(head)
		switch {
		case !ok || status == http.StatusSwitchingProtocols:
			return ErrMalformed
		case status < 200:
		case status < 300: // "any 2xx response": the rest of its head, a length of content included, means nothing
			return nil
		default:
			return &Refused{status}
		}
	}
	return ErrMalformed
}

func appendRequest(b []byte, r *Request) []byte {
	host := r.Host
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + host + "]"
	}
	authority := host + ":" + strconv.Itoa(int(r.Port))
	b = fmt.Appendf(b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", authority, authority)
	if r.Username != "" || r.Password != "" {
		b = append(b, "Proxy-Authorization: Basic "...)
		b = base64.StdEncoding.AppendEncode(b, []byte(r.Username+":"+r.Password))
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// readHead reads the head of an answer, and not a byte of what follows: it comes byte by byte, since the host may be the first to speak.
func readHead(c Conn) ([]byte, error) {
	var one [1]byte
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) && !bytes.HasSuffix(head, []byte("\n\n")) {
		if len(head) >= maxHead {
			return nil, ErrMalformed
		}
		_, err := c.Read(one[:], time.Time{}, time.Time{})
		switch {
		case errors.Is(err, io.EOF):
			return nil, ErrMalformed
		case err != nil:
			return nil, err
		}
		head = append(head, one[0])
	}
	return head, nil
}

// statusOf reads the status line of an answer of HTTP/1.
func statusOf(head []byte) (status int, ok bool) {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	version, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	if len(version) != len("HTTP/1.1") || !bytes.HasPrefix(version, []byte("HTTP/1.")) || len(code) != 3 {
		return 0, false
	}
	status, err := strconv.Atoi(string(code))
	return status, err == nil && status >= 100 && status < 600
}
