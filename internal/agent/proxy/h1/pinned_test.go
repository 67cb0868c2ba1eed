package h1

import (
	"testing"

	"fairlead.dev/fairlead/internal/agent/proxy/drive"
)

// A connection that the agent itself has closed, because it was idle for long enough, is no server's end.
func TestRule25_ThePoolsOwnClosingIsNoEnd(t *testing.T) {
	client, _ := pair(t)
	server, _ := pair(t)
	server.NoteEnding()
	s := &Session{client: &drive.Client{Conn: client}, server: pinnedServer{conn: server}}
	_ = server.Close()
	if s.serverEnded() {
		t.Error("taken for the server's")
	}
}

// One that the server has closed is.
func TestRule25_TheServersClosingIsAnEnd(t *testing.T) {
	client, _ := pair(t)
	server, far := pair(t)
	s := &Session{client: &drive.Client{Conn: client}, server: pinnedServer{conn: server}}
	_ = far.Close()
	if err := server.AwaitReadable(); err != nil {
		t.Fatal(err)
	}
	if !s.serverEnded() {
		t.Error("not noticed")
	}
}
