package liveapi

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
)

// InTurn has a page make one answer at a time, which may be as large as all that there is to list, and sends it afterwards: who reads slowly keeps nobody
// waiting.
func InTurn(page http.HandlerFunc) http.HandlerFunc {
	turn := make(chan struct{}, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
		case <-r.Context().Done():
			Refuse(w, http.StatusServiceUnavailable, errors.New("others were answered meanwhile: ask again"))
			return
		}
		made := answer{header: http.Header{}, status: http.StatusOK}
		func() {
			defer func() { <-turn }()
			page(&made, r)
		}()
		maps.Copy(w.Header(), made.header)
		w.WriteHeader(made.status)
		_, _ = w.Write(made.body.Bytes()) // the reader is gone if this fails
	}
}

// answer is one that was made and not sent yet. It implements http.ResponseWriter.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
