package compile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// Entries of what policies refer to.
const (
	caEntry       = "ca.crt" // the default of caBundleRef.key, and where the lookup puts what a ClusterTrustBundle holds
	chainEntry    = "tls.crt"
	keyEntry      = "tls.key"
	usernameEntry = "username"
	passwordEntry = "password"
)

// BundleEntry is the entry of Referent.Data that has the certificates of a ClusterTrustBundle.
const BundleEntry = caEntry

// Reference names an object that a policy refers to.
type Reference struct {
	// Kind is ConfigMap, Secret or ClusterTrustBundle.
	Kind v1alpha1.CABundleKind
	// Namespace is "" for the namespace that fairlead runs in, where the references of ClusterRetryPolicies are, and for a ClusterTrustBundle.
	Namespace, Name string
}

// Compare orders references by kind, then namespace, then name.
func (r Reference) Compare(o Reference) int {
	return cmp.Or(cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.Namespace, o.Namespace), cmp.Compare(r.Name, o.Name))
}

// String returns the reference as messages show it: "Secret client in namespace shop".
func (r Reference) String() string {
	s := string(r.Kind) + " " + r.Name
	switch {
	case r.Kind == v1alpha1.CABundleClusterTrustBundle:
	case r.Namespace == "":
		s += " in the namespace that fairlead runs in"
	default:
		s += " in namespace " + r.Namespace
	}
	return s
}

// Presence says what is known of whether an object is there.
type Presence uint8

const (
	// Absent: there is no such object.
	Absent Presence = iota
	// Present: it is there.
	Present
	// Forbidden: the manager may not read it.
	Forbidden
	// Unserved: this cluster does not have the API.
	Unserved
	// Unread: the API server has not answered.
	Unread
)

// Referent is what is known of an object that policies refer to. It is immutable.
type Referent struct {
	Presence
	// Data has the object's entries.
	Data map[string][]byte
	// Now is when it was looked up: certificates expire.
	Now time.Time
	// Hint says what to do about one that is Forbidden or Unread.
	Hint string

	parsed *parsed // what was parsed of Data; nil: it is parsed each time
}

// NewReferent returns an object that is there. What its entries hold is parsed once, however often it is looked at.
func NewReferent(data map[string][]byte) Referent {
	return Referent{Presence: Present, Data: data, parsed: &parsed{bundles: map[string]bundle{}}}
}

// FindReference finds what a policy refers to.
type FindReference func(Reference) Referent

// NoReferences finds nothing.
func NoReferences(Reference) Referent { return Referent{} }

// MaterialKey names what agents are sent for a reference.
type MaterialKey struct {
	Kind policy.ReferenceKind
	Name string
}

// Material is what a reference to an object comes to: what agents are sent for it.
type Material struct {
	MaterialKey
	// One of these is set, by Kind.
	Roots       *policy.Roots
	KeyPair     *policy.KeyPair
	Credentials *policy.Credentials
	// Expires is when it cannot be used any more; zero for never.
	Expires time.Time
}

// Equal reports whether agents would be sent the same.
func (m *Material) Equal(o *Material) bool {
	same := func(a, b [][]byte) bool {
		return slices.EqualFunc(a, b, func(x, y []byte) bool { return string(x) == string(y) })
	}
	switch {
	case m.MaterialKey != o.MaterialKey:
		return false
	case m.Kind == policy.ReferenceRoots:
		return same(m.Roots.Certificates, o.Roots.Certificates)
	case m.Kind == policy.ReferenceKeyPair:
		return same(m.KeyPair.Chain, o.KeyPair.Chain) && string(m.KeyPair.Key) == string(o.KeyPair.Key)
	}
	return *m.Credentials == *o.Credentials
}

// ReferencesOf lists the objects that a policy refers to, sorted.
func ReferencesOf(src *Source) []Reference {
	var out []Reference
	for _, u := range usesOf(src) {
		out = append(out, u.reference)
	}
	slices.SortFunc(out, Reference.Compare)
	return slices.Compact(out)
}

// MaterialKeys lists what agents are sent for the references of a policy.
func MaterialKeys(src *Source) []MaterialKey {
	var out []MaterialKey
	for _, u := range usesOf(src) {
		out = append(out, MaterialKey{u.kind, u.name()})
	}
	return out
}

// MaterialsOf returns what the references of a policy come to, as far as they are usable.
func MaterialsOf(src *Source, find FindReference) []*Material {
	var out []*Material
	for _, u := range usesOf(src) {
		if m, problem := u.resolve(find); problem == nil {
			out = append(out, m)
		}
	}
	return out
}

// use is one place of a policy that refers to an object.
type use struct {
	field     string // to[0].tls.caBundleRef
	reference Reference
	kind      policy.ReferenceKind
	entry     string // of a bundle
}

// homeNamespace stands for the namespace that fairlead runs in; no namespace has this name.
const homeNamespace = "~"

// name is what agents know the material by. It does not change when the object does.
func (u *use) name() string {
	parts := []string{}
	if u.kind == policy.ReferenceRoots {
		parts = append(parts, string(u.reference.Kind))
	}
	if u.reference.Kind != v1alpha1.CABundleClusterTrustBundle {
		parts = append(parts, cmp.Or(u.reference.Namespace, homeNamespace))
	}
	parts = append(parts, u.reference.Name)
	if u.kind == policy.ReferenceRoots && u.entry != "" {
		parts = append(parts, u.entry)
	}
	return boundName(strings.Join(parts, "/"))
}

// usesOf lists where a policy refers to objects, in the order of its destinations.
func usesOf(src *Source) []use {
	var out []use
	for i := range src.To {
		out = append(append(out, tlsUses(src, i)...), viaUses(src, i)...)
	}
	return out
}

// secretUse is a use of a Secret.
func secretUse(src *Source, field string, ref *v1alpha1.SecretReference, kind policy.ReferenceKind) use {
	return use{field, Reference{v1alpha1.CABundleSecret, src.ID.Namespace, ref.Name}, kind, ""}
}
