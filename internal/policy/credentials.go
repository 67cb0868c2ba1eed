package policy

// IssuerName is the name of the KeyPair that agents sign with what they show to pods (TLSIntercept). Every node has one of its own.
const IssuerName = "egress-issuer"

// Credentials are a user's name and password. They are a secret: they are never written to a disk, logged or shown, which their methods see
// to as far as they can.
type Credentials struct {
	// Name is stable when the password changes.
	Name               string
	Username, Password string
}

// String implements fmt.Stringer, and shows no secret.
func (c *Credentials) String() string { return "credentials " + c.Name }

// GoString implements fmt.GoStringer, and shows no secret.
func (c *Credentials) GoString() string { return c.String() }

// MarshalText implements encoding.TextMarshaler, which JSON and structured logs use, and shows no secret.
func (c *Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
