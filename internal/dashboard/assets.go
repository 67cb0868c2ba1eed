package dashboard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// types are those of the files that pages have. Those of the system are not asked: they differ from one to the next. It is never written to.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
	".woff2": "font/woff2", ".png": "image/png", ".json": "application/json", ".txt": "text/plain; charset=utf-8", ".webmanifest": "application/manifest+json",
}

// assets serves the pages' files. The page itself is index.html: what it shows is in the URL's fragment.
func (s *Server) assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if name == "" {
			name = "index.html"
		}
		body, err := fs.ReadFile(s.opts.Assets, name)
		switch kind, known := types[path.Ext(name)]; {
		case errors.Is(err, fs.ErrNotExist), !known:
			refuse(w, http.StatusNotFound, "the dashboard has no such page: its pages are below #/")
		case err != nil:
			refuse(w, http.StatusInternalServerError, err.Error())
		default:
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("ETag", tagOf(body))
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		}
	})
}

// tagOf is the ETag of a body.
func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}
