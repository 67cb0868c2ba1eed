package compile

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/policy"
)

// resolve returns what the reference comes to, or why it cannot be used.
func (u *use) resolve(find FindReference) (*Material, *Problem) {
	r := find(u.reference)
	if p := u.presence(&r); p != nil {
		return nil, p
	}
	m := &Material{MaterialKey: MaterialKey{u.kind, u.name()}}
	switch u.kind {
	case policy.ReferenceRoots:
		return u.roots(m, &r)
	case policy.ReferenceKeyPair:
		return u.keyPair(m, &r)
	case policy.ReferenceCredentials:
		return u.credentials(m, &r)
	}
	panic("compile: a reference of no kind")
}

func (u *use) problem(reason, format string, args ...any) *Problem {
	return &Problem{reason, u.field + ": " + fmt.Sprintf(format, args...)}
}

// presence says why an object is not there to be read.
func (u *use) presence(r *Referent) *Problem {
	switch r.Presence {
	case Present:
		return nil
	case Absent:
		return u.problem(v1alpha1.ReasonReferenceNotFound, "there is no %s; create it, or correct the name.", u.reference)
	case Forbidden:
		return u.problem(v1alpha1.ReasonReferenceForbidden, "the manager may not read %s; %s", u.reference, r.Hint)
	case Unserved:
		return u.problem(v1alpha1.ReasonReferenceNotFound,
			"this cluster serves no ClusterTrustBundles (certificates.k8s.io); name a ConfigMap or Secret instead.")
	case Unread:
	}
	return u.problem(v1alpha1.ReasonReferenceNotFound, "%s has not been read yet; %s", u.reference, r.Hint)
}

// entryOf returns an entry of the object.
func (u *use) entryOf(r *Referent, entry string) ([]byte, *Problem) {
	if data, ok := r.Data[entry]; ok {
		return data, nil
	}
	has := "none"
	if names := slices.Sorted(maps.Keys(r.Data)); len(names) > 0 {
		has = strings.Join(names[:min(len(names), 5)], ", ")
	}
	advice := "add it"
	if u.kind == policy.ReferenceRoots {
		advice = "add it, or correct key"
	}
	return nil, u.problem(v1alpha1.ReasonReferenceNotFound, "%s has no entry %s (it has %s); %s.", u.reference, entry, has, advice)
}

func (u *use) roots(m *Material, r *Referent) (*Material, *Problem) {
	data, problem := u.entryOf(r, bundleEntry(u.entry))
	if problem != nil {
		return nil, problem
	}
	certificates, expires, why := r.bundle(bundleEntry(u.entry), data).usable(r.Now)
	if why != "" {
		return nil, u.problem(v1alpha1.ReasonInvalidCABundle, "%s of %s %s.", bundleEntry(u.entry), u.reference, why)
	}
	m.Roots, m.Expires = &policy.Roots{Name: m.Name, Certificates: certificates}, expires
	return m, nil
}

// bundleEntry is the entry of a bundle; that of a ClusterTrustBundle has no name.
func bundleEntry(entry string) string {
	if entry == "" {
		return BundleEntry
	}
	return entry
}

func (u *use) keyPair(m *Material, r *Referent) (*Material, *Problem) {
	chain, problem := u.entryOf(r, chainEntry)
	if problem != nil {
		return nil, problem
	}
	key, problem := u.entryOf(r, keyEntry)
	if problem != nil {
		return nil, problem
	}
	pair := r.keyPair(chain, key)
	if why := pair.unusable(r.Now); why != "" {
		return nil, u.problem(v1alpha1.ReasonInvalidCertificate, "%s %s.", u.reference, why)
	}
	m.KeyPair, m.Expires = &policy.KeyPair{Name: m.Name, Chain: pair.chain, Key: pair.key}, pair.notAfter
	return m, nil
}

func (u *use) credentials(m *Material, r *Referent) (*Material, *Problem) {
	username, problem := u.entryOf(r, usernameEntry)
	if problem != nil {
		return nil, problem
	}
	password, problem := u.entryOf(r, passwordEntry)
	if problem != nil {
		return nil, problem
	}
	switch {
	case !utf8.Valid(username) || !utf8.Valid(password) || strings.Contains(string(username), ":"):
		return nil, u.problem(v1alpha1.ReasonInvalidCredentials, "username and password of %s must be text, and username must not contain a colon.", u.reference)
	case bytes.ContainsFunc(username, unicode.IsControl) || bytes.ContainsFunc(password, unicode.IsControl): // RFC 7617 section 2
		return nil, u.problem(v1alpha1.ReasonInvalidCredentials,
			"username and password of %s must not contain control characters; is there a line break at the end of one?", u.reference)
	case len(username)+len(password) == 0:
		return nil, u.problem(v1alpha1.ReasonInvalidCredentials, "username and password of %s are empty; write them, or remove credentialsRef.", u.reference)
	}
	m.Credentials = &policy.Credentials{Name: m.Name, Username: string(username), Password: string(password)}
	return m, nil
}
