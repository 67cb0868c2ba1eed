package capture

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/agent/capture/intent"
	"fairlead.dev/fairlead/internal/agent/capture/netns"
	"fairlead.dev/fairlead/internal/agent/capture/pods"
	"fairlead.dev/fairlead/internal/policy"
)

// ErrNotCaptured says that a pod has no network namespace to dial from: it has ended, or not been captured yet. It has a method Gone, by
// which those who must not import this package distinguish it from failures of an upstream.
var ErrNotCaptured error = notCaptured{}

type notCaptured struct{}

func (notCaptured) Error() string { return "pod is not captured" }

// Gone says that it is the caller who is gone.
func (notCaptured) Gone() bool { return true }

// ErrPermanent marks failures that a retry cannot end: only another policy, sandbox or node can.
var ErrPermanent = errors.New("permanent")

// permanentError is an error that is also ErrPermanent.
type permanentError struct{ error }

func (e permanentError) Unwrap() []error { return []error{e.error, ErrPermanent} }

// permanents are the failures known to stay. The system call errors mean that the kernel lacks what
// the mechanism needs, or that the agent lacks capabilities.
var permanents = []error{
	intent.ErrInvalid, netns.ErrOwn, pods.ErrNoNamespace,
	unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.ENOSYS,
}

// classify marks permanent failures.
func classify(err error) error {
	for _, p := range permanents {
		if errors.Is(err, p) {
			return permanentError{err}
		}
	}
	return err
}

// exhausted says that the node or the agent has run out of descriptors or memory.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// gone says that a namespace or a folder's entry is no longer there.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrClosed) }

// Reasons of problems.
const (
	// ReasonNamespace: the pod's network namespace cannot be found or entered.
	ReasonNamespace = "NamespaceUnavailable"
	// ReasonListen: the agent cannot listen in the pod.
	ReasonListen = "ListenFailed"
	// ReasonRules: the kernel refuses the redirect.
	ReasonRules = "RulesRefused"
	// ReasonHostNetwork: the pod shares the node's network, which is never captured.
	ReasonHostNetwork = "HostNetwork"
	// ReasonRulesChanged: something in the pod has changed the agent's rules; they are being written again.
	ReasonRulesChanged = "RulesChanged"
	// ReasonForeignRedirect: another proxy in the pod takes connections before the agent does; only what that proxy sends is captured. The pod
	// counts as captured all the same.
	ReasonForeignRedirect = "ForeignRedirect"
	// ReasonQUICSeen: the pod calls over QUIC, which no policy governs, where policies govern what it calls over TCP.
	ReasonQUICSeen = policy.NoticeQUICSeen
	// ReasonOverload: the node is short of descriptors or memory, or serves as many connections as it may; new ones go direct, or are refused where
	// the pod fails closed and has more than others.
	ReasonOverload = "Overload"
)

var (
	errRulesChanged = errors.New("something in the pod has changed the agent's rules; they are being written again")
	errHostNetwork  = errors.New("the pod uses the node's network, which is never captured")
)

// stepError is a failure with the reason that status shows.
type stepError struct {
	reason string
	error
}

func (e stepError) Unwrap() error { return e.error }

func failed(reason string, err error) error {
	if err == nil {
		return nil
	}
	return stepError{reason: reason, error: classify(err)}
}
