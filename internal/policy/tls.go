package policy

// TLSMode says who speaks TLS to a target.
type TLSMode uint8

// The TLS modes.
const (
	// TLSPassthrough leaves TLS to the pod.
	TLSPassthrough TLSMode = iota
	// TLSOriginate has the agent speak TLS to the host while the pod speaks plain HTTP.
	TLSOriginate
	// TLSIntercept has the agent end the pod's TLS with a certificate of its own issuer, and speak TLS to the host.
	TLSIntercept
)

// TLS says what happens to a target's TLS. It names what travels apart: certificates, because they are replaced without a new policy, and
// private keys, because they must not be kept where policies are. The zero value is Passthrough, in which the other fields are empty.
//
// A host's certificate is always verified, for the name that ServerName says: there is nothing here to turn that off with.
type TLS struct {
	Mode TLSMode
	// ServerName is sent to the host and must be in its certificate: lower case, no wildcard. Empty: the host that was called.
	ServerName string
	// Port is the host's port that is connected to; 0: the one that was called. Only for TLSOriginate.
	Port uint16
	// Roots names the Roots that the host's certificate is verified with; empty: the public roots of the system. Where the name is not
	// known nothing is trusted.
	Roots string
	// Certificate names the KeyPair that is presented to hosts that ask for one; empty: none is. Where the name is not known there are
	// no connections.
	Certificate string
	// Issuer names the KeyPair of the issuer of certificates that are shown to pods. Only for TLSIntercept, which needs it.
	Issuer string
	// PassAfter is after how many handshakes in a row that ended because a pod does not trust the issuer the pod's connections to the
	// host are passed through; 0: never. Only for TLSIntercept.
	PassAfter int
}

// Originates reports whether the agent speaks TLS to the host.
func (t *TLS) Originates() bool { return t.Mode != TLSPassthrough }

// Roots are trusted certificates: no secret.
type Roots struct {
	// Name is stable when the certificates are replaced.
	Name string
	// Certificates are DER, each once.
	Certificates [][]byte
}

// KeyPair is a certificate and its private key. It is a secret: it is never written to a disk, logged or shown, which its methods see to
// as far as they can.
type KeyPair struct {
	// Name is stable when the certificate is renewed.
	Name string
	// Chain is the certificate in DER and those that lead from it to a root, in order.
	Chain [][]byte
	// Key is the private key of the first one, in PKCS #8 DER.
	Key []byte
}

// String implements fmt.Stringer, and shows no secret.
func (k KeyPair) String() string { return "key pair " + k.Name }

// GoString implements fmt.GoStringer, and shows no secret.
func (k KeyPair) GoString() string { return k.String() }

// MarshalText implements encoding.TextMarshaler, which JSON and structured logs use, and shows no secret.
func (k KeyPair) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
