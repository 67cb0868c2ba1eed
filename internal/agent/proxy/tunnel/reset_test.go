package tunnel

import (
	"testing"
	"time"
)

// Without a proxy the reset reaches the server at once.
func TestAClientThatResetsAfterItsEndEndsTheTunnel(t *testing.T) {
	_, client, server, done := parked(t, Options{})
	_ = client.CloseWrite()
	if n, err := server.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the server does not see the client's end")
	}
	_ = client.SetLinger(0)
	_ = client.Close()
	select {
	case res := <-done:
		if res.End != Broken {
			t.Errorf("ended as %d, want broken", res.End)
		}
	case <-time.After(patience):
		t.Error("the tunnel does not notice that its client has reset the connection")
	}
}
