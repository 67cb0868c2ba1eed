package wire

import (
	"fmt"

	"fairlead.dev/fairlead/internal/policy"
	pb "fairlead.dev/fairlead/internal/wire/agentv1"
)

// Roots decodes trusted certificates.
func (r *Resource) Roots() (*policy.Roots, error) {
	m := new(pb.Roots)
	if err := r.unmarshal(Roots, m); err != nil {
		return nil, err
	}
	if err := r.named(m.GetName()); err != nil {
		return nil, err
	}
	if n := len(m.GetCertificates()); n > maxCertificates {
		return nil, fmt.Errorf("decode %s: %w: %d certificates, at most %d", r.Ref, ErrMalformed, n, maxCertificates)
	}
	return &policy.Roots{Name: m.GetName(), Certificates: m.GetCertificates()}, nil
}

// KeyPair decodes a key pair. No error shows any of it.
func (r *Resource) KeyPair() (*policy.KeyPair, error) {
	m := new(pb.KeyPair)
	if err := r.unmarshal(KeyPair, m); err != nil {
		return nil, err
	}
	if err := r.named(m.GetName()); err != nil {
		return nil, err
	}
	if n := len(m.GetChain()); n > maxChain {
		return nil, fmt.Errorf("decode %s: %w: a chain of %d certificates, at most %d", r.Ref, ErrMalformed, n, maxChain)
	}
	return &policy.KeyPair{Name: m.GetName(), Chain: m.GetChain(), Key: m.GetKey()}, nil
}

// Credentials decodes credentials. No error shows any of them.
func (r *Resource) Credentials() (*policy.Credentials, error) {
	m := new(pb.Credentials)
	if err := r.unmarshal(Credentials, m); err != nil {
		return nil, err
	}
	if err := r.named(m.GetName()); err != nil {
		return nil, err
	}
	return &policy.Credentials{Name: m.GetName(), Username: m.GetUsername(), Password: m.GetPassword()}, nil
}

// ReferenceTo names the resource that a profile refers to.
func ReferenceTo(kind policy.ReferenceKind, name string) Ref {
	switch kind {
	case policy.ReferenceRoots:
		return Ref{Roots, name}
	case policy.ReferenceKeyPair:
		return Ref{KeyPair, name}
	case policy.ReferenceCredentials:
		return Ref{Credentials, name}
	}
	panic("wire: a reference of no kind")
}
