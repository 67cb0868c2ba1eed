package liveapi

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
)

// Within serves a page to clients in the process's own pod alone, and there to those who have asked for the pod itself: a page of another
// site that a browser has open, on a machine with a port-forward, gets nothing, neither by having its own name resolve to that machine nor by asking for
// localhost.
func Within(page http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !ownPod(addressOf(r.RemoteAddr)) {
			http.Error(w, "only for the process's own pod: use kubectl port-forward", http.StatusForbidden)
			return
		}
		if !local(r.Host) {
			http.Error(w, "only for requests to localhost or to an address of it", http.StatusForbidden)
			return
		}
		if crossSite(r) {
			http.Error(w, "not for pages of other sites: open the address in a tab of its own, or ask with curl", http.StatusForbidden)
			return
		}
		page(w, r)
	}
}

// ownPod reports whether a client's address is that of a client in the pod, as port-forwarding has. Other addresses of loopback are not: from 127.0.0.6 a
// mesh's sidecar in the pod passes on what comes from elsewhere.
func ownPod(a netip.Addr) bool {
	return a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback()
}

// crossSite reports whether a page of another site, or of another port, has had a browser make a request: browsers say so. What cannot be read by such a page
// can be opened by it, and there are few taps and traces.
func crossSite(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return true
}

// local reports whether the Host field of a request is the name of the machine itself.
func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// Refuse answers a request that cannot be served, with a sentence that says what to ask instead.
func Refuse(w http.ResponseWriter, status int, why error) { http.Error(w, why.Error(), status) }

// Answer answers a request.
func Answer(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		Refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(body, '\n')) // the reader is gone if this fails
}
