package run

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// Options are what the flags say.
type Options struct {
	Files     []string
	Services  []string
	Maps      []string
	Labels    map[string]string
	Namespace string
	Capture   string
	Top       bool
	Quiet     bool
	Metrics   string
	AccessLog string
	Drain     time.Duration
	Command   []string

	// Validate checks a policy's document against the schema of its kind; nil: only what compiling checks is checked.
	Validate func(kind string, document []byte) error
}

// ExitError says that the command was run and has ended like this: the code is to be passed on, and has nothing to add.
type ExitError struct{ Code int }

// Error implements error.
func (e *ExitError) Error() string { return fmt.Sprintf("the command ended with code %d", e.Code) }

// The values of --capture.
const (
	captureAuto   = "Auto"
	captureAlways = "Always"
	captureNever  = "Never"
)

const example = `  # Calls to a host, by the policies of a file
  fairlead run -f policy.yaml -- curl http://api.example/items

  # A policy for a Service, which is a server on this machine here
  fairlead run -f policy.yaml --service inventory.warehouse:80=127.0.0.1:9000 -- python3 app.py

  # For a command that heeds no proxy: it calls localhost:8080 for api.example
  fairlead run -f policy.yaml --map 8080=api.example:80 -- ./app --upstream=http://localhost:8080`

// New returns the command. validate may be nil; see Options.Validate.
func New(validate func(kind string, document []byte) error) *cobra.Command {
	o := &Options{Validate: validate}
	c := &cobra.Command{
		Use:   "run -f FILE... [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command under policies, without Kubernetes",
		Long: `Run a command whose calls come under the RetryPolicies and ClusterRetryPolicies of files, and sum up what they did.

The command is pointed at a proxy on this machine by the usual variables (http_proxy, https_proxy, grpc_proxy). As root on Linux it gets a network
namespace of its own instead, in which all its TCP connections are captured, whether it heeds proxies or not.`,
		Example:       example,
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, args []string) error {
			o.Command = args
			if err := o.check(); err != nil {
				return err
			}
			return o.run(os.Stderr) // which the command writes to as well, and which may be a terminal
		},
	}
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringArrayVarP(&o.Files, "filename", "f", nil, "file or folder with policies, and with the ConfigMaps and Secrets that they refer to; may be repeated")
	f.StringArrayVar(&o.Services, "service", nil, "where a Service is that policies name: NAME.NAMESPACE:PORT=ADDRESS:PORT[,...]; may be repeated")
	f.StringArrayVar(&o.Maps, "map", nil, "a port of localhost that stands for one of a host: 8080=api.example:80; may be repeated")
	f.StringToStringVar(&o.Labels, "labels", nil, "labels of the command: only policies that select them are for it; without, all are")
	f.StringVarP(&o.Namespace, "namespace", "n", "default", "namespace of the command, and of policies that name none")
	f.StringVar(&o.Capture, "capture", captureAuto, "capture the command's connections in a network namespace of its own: Always, Never, or Auto, as root on Linux")
	f.BoolVar(&o.Top, "top", false, "show the figures on the terminal while the command runs")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "write no summary at the end")
	f.StringVar(&o.Metrics, "listen-metrics", "", "serve /metrics at this address, such as 127.0.0.1:9464")
	f.StringVar(&o.AccessLog, "access-log", "", "file for the calls that policies have logged, a line of JSON each; - is standard error")
	f.DurationVar(&o.Drain, "drain", 5*time.Second, "how long connections that outlive the command may take to end")
	return c
}

// check says what is wrong with the flags.
func (o *Options) check() error {
	switch {
	case len(o.Command) == 0:
		return errors.New("no command is named: write it behind --, as in fairlead run -f policy.yaml -- curl http://api.example/")
	case len(o.Files) == 0:
		return errors.New("no policies are named: say where they are with -f FILE")
	case o.Capture != captureAuto && o.Capture != captureAlways && o.Capture != captureNever:
		return fmt.Errorf("--capture=%s is not known: write Auto, Always or Never", o.Capture)
	case o.Drain < 0:
		return fmt.Errorf("a drain of %s is not possible; --drain=0s ends what is left at once", o.Drain)
	}
	return nil
}
