package wire

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Kind says what a resource is.
type Kind uint8

// The kinds of resources.
const (
	Workload Kind = iota + 1
	Profile
	Destination
	// Roots, KeyPair and Credentials are what profiles refer to. Each has a feature, see Kind.Feature.
	Roots
	KeyPair
	Credentials

	lastKind = Credentials
)

// String returns the kind as logs show it.
func (k Kind) String() string {
	switch k {
	case Workload:
		return "workload"
	case Profile:
		return "profile"
	case Destination:
		return "destination"
	case Roots:
		return "roots"
	case KeyPair:
		return "key pair"
	case Credentials:
		return "credentials"
	}
	return "unknown"
}

// Feature returns the feature that an agent must have to be sent resources of the kind; 0 for none.
func (k Kind) Feature() Feature {
	if k > Destination {
		return FeatureTLS
	}
	return 0
}

// Secret reports whether resources of the kind must not be kept on a disk or shown.
func (k Kind) Secret() bool { return k == KeyPair || k == Credentials }

// Ref names a resource: a workload by its pod's UID, the others by their name.
type Ref struct {
	Kind Kind
	Name string
}

// String returns "kind/name".
func (r Ref) String() string { return r.Kind.String() + "/" + r.Name }

// Compare orders refs by kind, then name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(cmp.Compare(r.Kind, o.Kind), strings.Compare(r.Name, o.Name))
}

// VersionSize is the length of a Version.
const VersionSize = 16

// Version is the content hash of an encoded resource: the first bytes of the SHA-256 of its payload.
type Version [VersionSize]byte

// String returns the version in hexadecimal.
func (v Version) String() string { return hex.EncodeToString(v[:]) }

func versionOf(payload []byte) Version {
	sum := sha256.Sum256(payload)
	return Version(sum[:VersionSize])
}

// Bounds of what is encoded and decoded. Encoding checks them too, so a resource too large is noticed where it is made.
const (
	// MaxPayload is the largest encoded resource.
	MaxPayload = 2 << 20
	// MaxMessage is the largest gRPC message either side accepts.
	MaxMessage = 8 << 20
	// MaxHeld is the most resources a Hello lists and an agent holds.
	MaxHeld = 1 << 15
	// MaxName is the longest name of a resource.
	MaxName = 512
	// MaxText is the longest message for people.
	MaxText = 1024
	// maxVersionText is the longest version of an agent.
	maxVersionText = 64
	// maxFeatures bounds the features that an agent lists; newer agents know more than this build.
	maxFeatures = 1024

	maxBindings = 4096
	maxRules    = 256
	maxList     = 1024
	maxPorts    = 4096
	// maxEndpoints bounds the endpoints of one Service port.
	maxEndpoints = 1 << 16
	// maxTraffic bounds the entries of one report.
	maxTraffic = 4096
	// maxCertificates bounds trusted certificates, and maxChain those that lead from one to a root.
	maxCertificates = 1024
	maxChain        = 16
)

// Errors of decoding, which say why a resource is refused.
var (
	// ErrMalformed marks input that is damaged or breaks a bound.
	ErrMalformed = errors.New("malformed")
	// ErrUnsupported marks input from a newer version of the protocol that cannot be honoured in full.
	ErrUnsupported = errors.New("unsupported")
)

// Resource is a workload, profile, destination or what else there are kinds of, in its encoded form. It is shared, and immutable to those
// who share it.
type Resource struct {
	Ref     Ref
	Version Version
	Payload []byte
	// Patch is set instead of Payload on a received resource that came so; Whole makes the payload.
	Patch *Patch

	needs   Features // of the agents it is for; none if it was received
	encoder *Encoder // that made it, if needs are known

	mu sync.Mutex
	// guarded by mu
	reduced map[Features]*Resource // forms of it, by the features they do without
}

// String names the resource and its version. The payload may be a secret.
func (r *Resource) String() string { return r.Ref.String() + " " + r.Version.String() }

// GoString is String, so that no format shows more.
func (r *Resource) GoString() string { return r.String() }

// NewResource returns the resource with the given payload, and its version.
func NewResource(ref Ref, payload []byte) (*Resource, error) {
	if ref.Kind < Workload || ref.Kind > lastKind {
		return nil, fmt.Errorf("%w: resource kind %d", ErrUnsupported, ref.Kind)
	}
	if ref.Name == "" || len(ref.Name) > MaxName {
		return nil, fmt.Errorf("%w: %s name of %d bytes", ErrMalformed, ref.Kind, len(ref.Name))
	}
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%w: %s of %d bytes, at most %d", ErrMalformed, ref, len(payload), MaxPayload)
	}
	return &Resource{Ref: ref, Version: versionOf(payload), Payload: payload}, nil
}

// For returns r as an agent with the given features understands it: r itself, or r without what belongs to features that the agent lacks, or
// nil if it does not know the kind. Such a form is made once, for all agents that lack the same.
func (r *Resource) For(understood Features) *Resource {
	without := r.LeftOut(understood)
	switch f := r.Ref.Kind.Feature(); {
	case without == 0:
		return r
	case f != 0 && without.Has(f):
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	form := r.reduced[without]
	if form == nil {
		var err error
		if form, err = r.encoder.reduce(r, without); err != nil {
			form = r // not possible for what was encoded here; the agent refuses it
		}
		if r.reduced == nil {
			r.reduced = map[Features]*Resource{}
		}
		r.reduced[without] = form
	}
	return form
}

// LeftOut returns the features that belong to something in r and that an agent with the given ones lacks.
func (r *Resource) LeftOut(understood Features) Features { return r.needs &^ understood }

// Needs returns the features that belong to something in r.
func (r *Resource) Needs() Features { return r.needs }

// Workload encodes w. Equal workloads encode to equal bytes.
func (e *Encoder) Workload(w *policy.Workload) (*Resource, error) {
	return e.encode(Ref{Workload, w.UID}, workloadToProto(w))
}

// Profile encodes p. Equal profiles encode to equal bytes.
func (e *Encoder) Profile(p *policy.Profile) (*Resource, error) {
	m, err := profileToProto(p)
	if err != nil {
		return nil, fmt.Errorf("encode profile %s: %w", p.Name, err)
	}
	return e.encode(Ref{Profile, p.Name}, m)
}

// Destination encodes d. Equal destinations encode to equal bytes.
func (e *Encoder) Destination(d *policy.Destination) (*Resource, error) {
	m, err := destinationToProto(d)
	if err != nil {
		return nil, fmt.Errorf("encode destination %s: %w", d.Name, err)
	}
	return e.encode(Ref{Destination, d.Name}, m)
}

// Roots encodes v. Equal roots encode to equal bytes.
func (e *Encoder) Roots(v *policy.Roots) (*Resource, error) {
	if len(v.Certificates) > maxCertificates {
		return nil, fmt.Errorf("encode roots %s: %w: %d certificates, at most %d", v.Name, ErrMalformed, len(v.Certificates), maxCertificates)
	}
	return e.encode(Ref{Roots, v.Name}, &pb.Roots{Name: v.Name, Certificates: v.Certificates})
}

// KeyPair encodes v. Equal key pairs encode to equal bytes.
func (e *Encoder) KeyPair(v *policy.KeyPair) (*Resource, error) {
	if len(v.Chain) > maxChain {
		return nil, fmt.Errorf("encode key pair %s: %w: a chain of %d certificates, at most %d", v.Name, ErrMalformed, len(v.Chain), maxChain)
	}
	return e.encode(Ref{KeyPair, v.Name}, &pb.KeyPair{Name: v.Name, Chain: v.Chain, Key: v.Key})
}

// Credentials encodes v. Equal credentials encode to equal bytes.
func (e *Encoder) Credentials(v *policy.Credentials) (*Resource, error) {
	return e.encode(Ref{Credentials, v.Name}, &pb.Credentials{Name: v.Name, Username: v.Username, Password: v.Password})
}

// EncodeWorkload encodes w with the requirements of this build.
func EncodeWorkload(w *policy.Workload) (*Resource, error) { return standard.Workload(w) }

// EncodeProfile encodes p with the requirements of this build.
func EncodeProfile(p *policy.Profile) (*Resource, error) { return standard.Profile(p) }

// EncodeDestination encodes d with the requirements of this build.
func EncodeDestination(d *policy.Destination) (*Resource, error) { return standard.Destination(d) }
