package grpc

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"sync"
)

// accounts gives out tokens, as Google's service for accounts does, and as machines of its have from their metadata.
type accounts struct {
	addr string
	key  string // a file: the key of a service account
}

// accounts starts one outside the pod.
func (w *world) accounts() *accounts {
	w.t.Helper()
	l := w.listen()
	srv := &http.Server{Handler: http.HandlerFunc(giveToken)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	w.t.Cleanup(func() { _ = srv.Close(); serving.Wait() })
	a := &accounts{addr: l.Addr().String(), key: w.file("account")}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(w.t, err)
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "pod@accounts.test", "private_key_id": "1", "token_uri": "http://" + a.addr + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	})
	check(w.t, err)
	check(w.t, os.WriteFile(a.key, account, 0o600))
	return a
}

func giveToken(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Metadata-Flavor", "Google")
	_, _ = io.WriteString(w, `{"access_token": "token", "token_type": "Bearer", "expires_in": 3600}`)
}

func (a *accounts) keyArgs() []string {
	return []string{"--service_account_key_file=" + a.key, "--oauth_scope=https://accounts.test/scope"}
}

func (a *accounts) keyEnv() []string { return []string{"GOOGLE_APPLICATION_CREDENTIALS=" + a.key} }

func (a *accounts) machineEnv() []string { return []string{"GCE_METADATA_HOST=" + a.addr} }
