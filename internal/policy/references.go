package policy

import "iter"

// ReferenceKind says what a profile refers to by a name, besides destinations. Such things travel apart, because they are replaced without a
// new policy, and because some of them are secrets, which must not be kept where policies are.
type ReferenceKind uint8

// The kinds of references.
const (
	// ReferenceRoots refers to Roots.
	ReferenceRoots ReferenceKind = iota
	// ReferenceKeyPair refers to a KeyPair.
	ReferenceKeyPair
	// ReferenceCredentials refers to Credentials.
	ReferenceCredentials
)

// References yields what the profile refers to, some of it perhaps more than once. A nil profile refers to nothing.
func (p *Profile) References() iter.Seq2[ReferenceKind, string] {
	return func(yield func(ReferenceKind, string) bool) {
		if p == nil {
			return
		}
		for i := range p.Bindings {
			to := &p.Bindings[i].To
			for _, r := range [...]struct {
				kind ReferenceKind
				name string
			}{
				{ReferenceRoots, to.TLS.Roots}, {ReferenceKeyPair, to.TLS.Certificate}, {ReferenceKeyPair, to.TLS.Issuer},
				{ReferenceCredentials, to.Via.Credentials},
			} {
				if r.name != "" && !yield(r.kind, r.name) {
					return
				}
			}
		}
	}
}
