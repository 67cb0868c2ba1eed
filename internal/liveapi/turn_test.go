package liveapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// slow is a reader that takes nothing until it is let go.
type slow struct {
	*httptest.ResponseRecorder
	writing, release chan struct{}
}

func (s slow) Write(b []byte) (int, error) {
	close(s.writing)
	<-s.release
	return s.ResponseRecorder.Write(b)
}

func TestASlowReaderKeepsNobodyWaiting(t *testing.T) {
	made := 0
	page := InTurn(func(w http.ResponseWriter, r *http.Request) {
		if made++; r.URL.Path != "/" {
			Refuse(w, http.StatusBadRequest, errors.New("no such thing"))
			return
		}
		Answer(w, List[int]{Items: []int{}})
	})
	reader := slow{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		page(reader, httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	<-reader.writing
	other := httptest.NewRecorder()
	page(other, httptest.NewRequest(http.MethodGet, "/other", nil))
	close(reader.release)
	<-done
	if other.Code != http.StatusBadRequest || other.Body.String() != "no such thing\n" {
		t.Errorf("%d %s", other.Code, other.Body)
	}
	if reader.Code != http.StatusOK || reader.Header().Get("Content-Type") != "application/json" || reader.Body.Len() == 0 || made != 2 {
		t.Errorf("%d %v %s", reader.Code, reader.Header(), reader.Body)
	}
}

// While an answer is being made others wait, or go; a page that panics gives its turn back.
func TestAnswersAreMadeOneAtATime(t *testing.T) {
	making, release := make(chan struct{}), make(chan struct{})
	page := InTurn(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic(http.ErrAbortHandler)
		}
		close(making)
		<-release
	})
	done := make(chan struct{})
	func() {
		defer func() { _ = recover() }()
		page(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/panic", nil))
	}()
	go func() {
		defer close(done)
		page(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	<-making
	gone, leave := context.WithCancel(t.Context())
	leave()
	page(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(gone)) // closes making again if it gets a turn
	close(release)
	<-done
}
