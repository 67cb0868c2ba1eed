package trace

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// marked is a call that is made, and what agents know it by: a mark that its request has, and, where its connection is passed through, so that they see no
// request, the port that it comes from.
type marked struct {
	flags *flags
	mark  string
	port  uint16
	// trusted are the certificates that it trusts beside the public roots, in PEM.
	trusted string
}

// Calls come from a port of these, from which Linux chooses none by itself unless configured to (ip_local_port_range), so that none of the pod's connections has it.
const (
	firstPort = 61000
	ports     = 1<<16 - firstPort
)

func newMarked(f *flags) *marked {
	var random [12]byte
	_, _ = rand.Read(random[:]) // which never fails
	return &marked{
		flags: f, mark: hex.EncodeToString(random[:8]),
		port: uint16(firstPort + binary.BigEndian.Uint32(random[8:])%ports), //nolint:gosec // it is less than 65536
	}
}

// query is what the agents of the pod's node are asked.
func (m *marked) query(p *corev1.Pod) url.Values {
	q := m.flags.query(p.Namespace, p.Name, m.mark)
	q.Set("port", strconv.Itoa(int(m.port)))
	return q
}

// container makes the call. It has no rights, as the strictest standard for pods wants it.
func (m *marked) container(image string) *corev1.EphemeralContainer {
	f := m.flags
	args := []string{"call", "--url=" + f.calls, "--mark=" + m.mark, "--port=" + strconv.Itoa(int(m.port)), "--timeout=" + f.timeout.String(), "--report=/dev/termination-log"}
	if f.method != "" {
		args = append(args, "--method="+f.method)
	}
	for _, h := range f.headers {
		args = append(args, "--header="+h)
	}
	if f.http2 {
		args = append(args, "--http2")
	}
	if m.trusted != "" {
		args = append(args, "--ca="+m.trusted)
	}
	if f.insecure {
		args = append(args, "--insecure")
	}
	yes, no, user := true, false, int64(userID)
	return &corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "fairlead-trace-" + m.mark[:8], Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: &user, RunAsGroup: &user, RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}}
}

// published returns the egress CA, as it is published in a namespace for who trusts it; empty where it is not, or may not be read: then its call fails at an
// interception, and says whom it trusts.
func (t *tracer) published(ctx context.Context, namespace string) string {
	var m corev1.ConfigMap
	if err := t.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "fairlead-egress-ca"}, &m); err != nil {
		return ""
	}
	return m.Data["ca.crt"]
}
