package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// bulk answers GET with as many bytes as the query's bytes says, the same ones each time, and anything else with the SHA-256 of the request's body.
// Neither is held in memory.
func bulk(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
		if err != nil {
			http.Error(w, "bytes is no number", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		_, _ = io.CopyN(w, rand.NewChaCha8([32]byte{}), n)
		return
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r.Body); err != nil {
		return
	}
	_, _ = io.WriteString(w, hex.EncodeToString(sum.Sum(nil))+"\n")
}
