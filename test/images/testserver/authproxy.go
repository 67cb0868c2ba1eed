package main

import (
	"context"
	"crypto/subtle"
	"flag"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// authproxy forwards what comes with a name and a password (RFC 7617), and answers anything else with 401. The host name is passed on.
func authproxy(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("authproxy", flag.ContinueOnError)
	addr := fs.String("addr", ":4180", "address to listen on")
	to := fs.String("to", "", "URL to forward to")
	name := fs.String("name", "", "name that is let in")
	password := fs.String("password", "", "its password")
	if err := fs.Parse(args); err != nil {
		return err
	}
	u, err := url.Parse(*to)
	if err != nil {
		return err
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host
		r.Out.Header.Del("Authorization")
	}}
	srv := &http.Server{Addr: *addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, p, _ := r.BasicAuth()
		if subtle.ConstantTimeCompare([]byte(n+"\n"+p), []byte(*name+"\n"+*password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="fairlead"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		forward.ServeHTTP(w, r)
	})}
	context.AfterFunc(ctx, func() { srv.Close() })
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
