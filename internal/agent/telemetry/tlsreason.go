package telemetry

import (
	"cmp"
	"slices"

	"fairlead.dev/fairlead/internal/agent/routes"
	"fairlead.dev/fairlead/internal/agent/transport/tlslayer"
	"fairlead.dev/fairlead/internal/policy"
)

// tlsReasons are the labels for why attempts failed in TLS: final failures, and handshakes that broke off.
var tlsReasons = [...]struct {
	detail routes.Detail
	label  string
}{
	{routes.Detail(tlslayer.Handshake), "handshake"}, // first: for what is not listed
	{routes.Detail(tlslayer.Expired), "certificate_expired"},
	{routes.Detail(tlslayer.UnknownAuthority), "unknown_authority"},
	{routes.Detail(tlslayer.WrongHost), "wrong_host"},
	{routes.Detail(tlslayer.BadCertificate), "bad_certificate"},
	{routes.Detail(tlslayer.NoName), "no_name"},
	{routes.Detail(tlslayer.NoRoots), "no_roots"},
	{routes.Detail(tlslayer.NoKeyPair), "no_client_certificate"},
	{routes.Detail(tlslayer.ClientCertificate), "client_certificate_refused"},
	{routes.Detail(tlslayer.UnknownName), "unknown_name"},
	{routes.Detail(tlslayer.Version), "protocol_version"},
	{routes.Detail(tlslayer.ALPN), "alpn"},
	{routes.Detail(tlslayer.NotTLS), "not_tls"},
	{routes.Detail(tlslayer.ServerFailed), "server_failed"},
	{routes.DetailTLSHandshake, "timeout"},
	{routes.DetailClosedInHandshake, "closed"},
	{routes.DetailResetInHandshake, "reset"},
}

// tlsReason returns the place among tlsReasons of why an attempt failed in TLS, if it did.
func tlsReason(t *routes.Attempt, final bool) (i int, ok bool) {
	for i := range tlsReasons {
		if tlsReasons[i].detail == t.Detail {
			return i, true
		}
	}
	return 0, final
}

// tlsFailures returns the difference between before and c in the form of a report, nothing that is zero.
func (c *counts) tlsFailures(before *counts) (out []policy.TLSFailure) {
	for i := range c.tls {
		if n := c.tls[i] - before.tls[i]; n > 0 {
			out = append(out, policy.TLSFailure{Reason: tlsReasons[i].label, Count: n})
		}
	}
	slices.SortFunc(out, func(a, b policy.TLSFailure) int { return cmp.Compare(a.Reason, b.Reason) })
	return out
}
