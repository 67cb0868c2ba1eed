package pki

import (
	"encoding/base64"
	"fmt"
	"os"
)

const kubeconfigFormat = `apiVersion: v1
kind: Config
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[4]s
  user:
    client-certificate-data: %[5]s
    client-key-data: %[6]s
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[4]s}
current-context: %[1]s
`

// Kubeconfig says how a component reaches the API server and as whom.
type Kubeconfig struct {
	Cluster, Server, User string
}

// WriteKubeconfig issues a client certificate for r and stores it, with all that is needed to use
// it, as a single file at path.
func (a *Authority) WriteKubeconfig(path string, k Kubeconfig, r Request) error {
	pair, err := a.Issue(r)
	if err != nil {
		return err
	}
	encoded := make([]string, 0, 3)
	for _, file := range []string{a.CertFile(), pair.Cert, pair.Key} {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		encoded = append(encoded, base64.StdEncoding.EncodeToString(b))
	}
	text := fmt.Sprintf(kubeconfigFormat, k.Cluster, k.Server, encoded[0], k.User, encoded[1], encoded[2])
	return os.WriteFile(path, []byte(text), 0o600)
}
