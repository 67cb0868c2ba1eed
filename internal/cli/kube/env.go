package kube

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/output"
)

// DefaultSystem is the namespace that fairlead itself runs in, unless a flag says otherwise.
const DefaultSystem = "fairlead-system"

// Env is what commands have in common: where they read and print, and the cluster.
type Env struct {
	// IOStreams neutralise what terminals would act on, as output.Writer does.
	genericiooptions.IOStreams
	// Terminal is Out as it is, for what draws on a terminal, and escapes what comes from the cluster itself.
	Terminal io.Writer
	Flags    *genericclioptions.ConfigFlags
	// System is the namespace that fairlead runs in.
	System string
	// Now is the time.
	Now func() time.Time
	// Connect replaces how Client connects, in tests.
	Connect func() (client.WithWatch, error)

	until context.Context
}

// Until has whatever is asked of the API server end when ctx does. Libraries ask it things without a context: its connections are closed then.
func (e *Env) Until(ctx context.Context) { e.until = ctx }

// NewEnv returns the environment of a command line.
func NewEnv(streams genericiooptions.IOStreams) *Env {
	terminal := streams.Out
	streams.Out, streams.ErrOut = output.NewWriter(streams.Out), output.NewWriter(streams.ErrOut)
	return &Env{IOStreams: streams, Terminal: terminal, Flags: genericclioptions.NewConfigFlags(true), System: DefaultSystem, Now: time.Now}
}

// AddFlags adds the flags that all commands have: kubectl's, and the namespace that fairlead runs in.
func (e *Env) AddFlags(flags *pflag.FlagSet) {
	e.Flags.AddFlags(flags)
	flags.StringVar(&e.System, "fairlead-namespace", e.System, "The namespace that fairlead itself runs in")
}

// Config returns how to connect, by the flags and the kubeconfig.
func (e *Env) Config() (*rest.Config, error) {
	config, err := e.Flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	config.QPS, config.Burst = 50, 300 // as kubectl does: the server bounds what clients ask
	if e.until != nil {
		config.Dial = e.dial
	}
	return config, nil
}

// dialing is how long connecting may take, and keepAlive how often the kernel looks whether a connection lives: as client-go has them.
const dialing, keepAlive = 30 * time.Second, 30 * time.Second

// dial connects as client-go does.
func (e *Env) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.until, cancel)()
	c, err := (&net.Dialer{Timeout: dialing, KeepAlive: keepAlive}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &ending{c, context.AfterFunc(e.until, func() { _ = c.Close() })}, nil
}

// ending is a connection that is closed when a context ends.
type ending struct {
	net.Conn
	stop func() bool // has it not be
}

// Close implements net.Conn.
func (c *ending) Close() error {
	c.stop()
	return c.Conn.Close()
}

// Scheme has the kinds that commands read.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("kinds of Kubernetes: %w", err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("kinds of fairlead: %w", err)
	}
	return scheme, nil
}

// Client returns a client for the cluster.
func (e *Env) Client() (client.WithWatch, error) {
	if e.Connect != nil {
		return e.Connect()
	}
	config, err := e.Config()
	if err != nil {
		return nil, err
	}
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return c, nil
}

// Namespace returns the namespace that the flags or the kubeconfig's context name, default if neither does.
func (e *Env) Namespace() (string, error) {
	namespace, _, err := e.Flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("find the namespace: %w", err)
	}
	return namespace, nil
}

// NoArguments refuses arguments, and says what to write.
func NoArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and %q is one: see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
