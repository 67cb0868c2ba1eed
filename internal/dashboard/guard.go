package dashboard

import (
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policyOfContent lets the pages' own files run and be shown, and nothing else: no inline script, no other origin, no frame around them.
const policyOfContent = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// NewToken returns a secret of 128 bits and more, of characters that stand for themselves in a URL.
func NewToken() string { return rand.Text() }

// guarded refuses what a page of another site has a browser ask, and says in every answer what browsers may do with it.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policyOfContent)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		switch {
		case !s.mayName(r.Host):
			refuse(w, http.StatusForbidden, "this host name is not one of the dashboard's: open the address that kubectl fairlead dashboard has printed")
		case !sameSite(r):
			refuse(w, http.StatusForbidden, "pages of other sites cannot read the dashboard: open its address in a tab of its own")
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "the dashboard only reads: ask with GET")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// mayName reports whether a request may name a host. A name that somebody else has had resolve to this machine is none of those.
func (s *Server) mayName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || slices.Contains(s.opts.Hosts, host) {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// sameSite reports whether a request comes from a page of the dashboard, or from a person: browsers say so. A link on another site may lead to a page.
func sameSite(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// below serves what is below a secret path.
func (s *Server) below(prefix string, next http.Handler) http.Handler {
	stripped := http.StripPrefix(prefix, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := r.URL.Path
		switch {
		case len(got) > len(prefix) && got[len(prefix)] == '/' && subtle.ConstantTimeCompare([]byte(got[:len(prefix)]), []byte(prefix)) == 1:
			stripped.ServeHTTP(w, r)
		case subtle.ConstantTimeCompare([]byte(got), []byte(prefix)) == 1:
			http.Redirect(w, r, prefix+"/", http.StatusMovedPermanently)
		case s.useOnce(got):
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, prefix+"/", http.StatusSeeOther)
		default:
			refuse(w, http.StatusNotFound, "there is nothing here: open the address that kubectl fairlead dashboard has printed, with the secret part at its end")
		}
	})
}

// useOnce reports whether a path is that which leads to the pages once, which it does not do again.
func (s *Server) useOnce(path string) bool {
	once := s.once.Load()
	return once != nil && subtle.ConstantTimeCompare([]byte(path), []byte("/"+*once)) == 1 && s.once.CompareAndSwap(once, nil)
}
