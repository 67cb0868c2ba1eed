package tlslayer

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"reflect"
)

// Reason says why TLS failed: one of the constants.
type Reason string

// The reasons. Those of the server's certificate come first.
const (
	// Expired: the server's certificate, or one above it, is not valid at this time.
	Expired Reason = "certificate expired or not yet valid"
	// UnknownAuthority: the certificate leads to no root that is trusted.
	UnknownAuthority Reason = "certificate of an unknown authority"
	// WrongHost: the certificate is for other names.
	WrongHost Reason = "certificate for another host"
	// BadCertificate: it must not be used for this, or cannot be understood.
	BadCertificate Reason = "certificate not acceptable"
	// NoName: no name is known that the certificate could be for.
	NoName Reason = "no host name to verify"
	// NoRoots: the agent does not have the certificates that the policy trusts.
	NoRoots Reason = "trusted certificates missing on this agent"
	// NoKeyPair: the agent does not have the client certificate of the policy.
	NoKeyPair Reason = "client certificate missing on this agent"
	// ClientCertificate: the server wants a client certificate, or another one.
	ClientCertificate Reason = "client certificate refused or required"
	// UnknownName: the server does not serve the name.
	UnknownName Reason = "name unknown to the server"
	// Version: there is no version of TLS that both sides allow.
	Version Reason = "no common protocol version"
	// ALPN: the server does not speak the application protocol.
	ALPN Reason = "no common application protocol"
	// NotTLS: the server speaks something else.
	NotTLS Reason = "the server does not speak TLS"
	// ServerFailed: the server says that it has failed itself.
	ServerFailed Reason = "the server failed"
	// Handshake: the two sides did not agree in another way, or a record was damaged.
	Handshake Reason = "handshake failed"
)

// Reasons are all of them.
var Reasons = []Reason{
	Expired, UnknownAuthority, WrongHost, BadCertificate, NoName, NoRoots, NoKeyPair, ClientCertificate, UnknownName, Version, ALPN, NotTLS,
	ServerFailed, Handshake,
}

// Error says why TLS failed, in the handshake or later. The end of the socket and its errors are no such errors.
type Error struct {
	Reason Reason
	Err    error // what crypto/tls says; nil: nothing
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil {
		return "tls: " + string(e.Reason)
	}
	return fmt.Sprintf("tls: %s: %v", e.Reason, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Final reports whether it would fail the same way again.
func (e *Error) Final() bool { return e.Reason != ServerFailed }

// Refused reports whether the peer has said that it does not want this client. In TLS 1.3 a server says so when the client's handshake is
// over, and in the place of its first answer.
func (e *Error) Refused() bool { return e.Reason == ClientCertificate }

// newError makes an Error of one of crypto/tls. sent is the alert that was sent for it, as far as known; 0: none.
func newError(err error, sent uint8) *Error {
	return &Error{Reason: reasonOf(err, sent), Err: err}
}

func reasonOf(err error, sent uint8) Reason {
	if r := certificateReason(err); r != "" {
		return r
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok && sent == 0 {
		return NotTLS
	}
	if got, ok := alertOf(err); ok {
		return alertReasons[got]
	}
	if sent == alertVersion {
		return Version
	}
	return Handshake
}

// certificateReason says what is wrong with the server's certificate; empty: nothing.
func certificateReason(err error) Reason {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return WrongHost
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return UnknownAuthority
	}
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return NoRoots
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return Expired
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return BadCertificate
	}
	return ""
}

// alertVersion is protocol_version (RFC 8446 section 6).
const alertVersion = 70

// alertReasons say what a peer's alert means; those that are not listed say no more than that it failed.
var alertReasons = func() (all [256]Reason) {
	for i := range all {
		all[i] = Handshake
	}
	for _, certificate := range []int{42, 43, 44, 45, 46, 48, 49, 116} { // bad_certificate … unknown_ca, access_denied, certificate_required
		all[certificate] = ClientCertificate
	}
	all[alertVersion], all[80], all[112], all[120] = Version, ServerFailed, UnknownName, ALPN
	return all
}()

// alertOf returns the alert that the peer has sent, if that is what an error is. crypto/tls has a type of its own for it.
func alertOf(err error) (uint8, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return uint8(v.Uint()), true
}
