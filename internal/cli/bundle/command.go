package bundle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/ask"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
)

// flags are those of the command.
type flags struct {
	file, keyFile string
	anonymize     bool
	agents        int
	lines         int64
	timeout       time.Duration
}

// parts are what tests replace.
type parts struct {
	reach ask.Reach
	logs  Logs
}

// New returns the command; version is that of the plugin.
func New(env *kube.Env, version string) *cobra.Command { return newCommand(env, version, parts{}) }

func newCommand(env *kube.Env, version string, of parts) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "support-bundle",
		Short: "Gather what somebody needs to know who is to help: an archive, redacted",
		Long: `Gathers versions, policies with their status, Events, what doctor finds, facts of the nodes, the live API's answers and the logs of manager and
agents into a tar.gz. It reads no Secrets. Values of header fields, bodies, credentials, tokens and the paths of logged calls are removed; --anonymize
replaces names of hosts and nodes and addresses by pseudonyms. manifest.json lists what is in it, and what could not be gathered and why.`,
		Example: "  kubectl fairlead support-bundle\n  kubectl fairlead support-bundle --anonymize --file bundle.tar.gz",
		Args:    kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			c, err := env.Client()
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), env, c, version, of)
		},
	}
	set := cmd.Flags()
	set.StringVarP(&f.file, "file", "f", "", "The file to write; - is standard output (fairlead-support-TIME.tar.gz unless set)")
	set.BoolVar(&f.anonymize, "anonymize", false, "Replace names of hosts and nodes, and addresses, by pseudonyms")
	set.StringVar(&f.keyFile, "anonymize-key", "", "A file whose content makes the pseudonyms, so that they are the same in several archives")
	set.IntVar(&f.agents, "agents", 20, "How many agents to ask, and to read logs of")
	set.Int64Var(&f.lines, "log-lines", 2000, "How many of the last lines of each log")
	set.DurationVar(&f.timeout, "timeout", 3*time.Minute, "How long to gather; what is not there then is listed as missing")
	return cmd
}

func (f *flags) check() error {
	switch {
	case f.agents < 0 || f.agents > 1000:
		return fmt.Errorf("--agents %d: write a number from 0 to 1000", f.agents)
	case f.lines < 1 || f.lines > 100_000:
		return fmt.Errorf("--log-lines %d: write a number from 1 to 100000", f.lines)
	case f.timeout < time.Second:
		return fmt.Errorf("--timeout %s: write 1s or more", f.timeout)
	case f.keyFile != "" && !f.anonymize:
		return errors.New("--anonymize-key makes pseudonyms, which there are with --anonymize")
	}
	return nil
}

// key makes pseudonyms; nil: there are to be none. Without a file it is drawn, so that nobody can find out whether a name that he guesses is among them.
func (f *flags) key() ([]byte, error) {
	if !f.anonymize {
		return nil, nil
	}
	if f.keyFile == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // which never fails
		return key, nil
	}
	key, err := os.ReadFile(f.keyFile)
	if err == nil && len(key) < 16 {
		err = fmt.Errorf("%s has %d bytes: 16 at least cannot be guessed", f.keyFile, len(key))
	}
	return key, err
}

func (f *flags) run(ctx context.Context, env *kube.Env, c client.Client, version string, of parts) error {
	key, err := f.key()
	if err != nil {
		return err
	}
	if of.logs == nil {
		if of.logs, err = logsOf(env); err != nil {
			return err
		}
	}
	within, stop := context.WithTimeout(ctx, f.timeout)
	defer stop()
	g := &gatherer{archive: &archive{}, env: env, client: c, redact: newRedactor(key), limits: limits{f.agents, f.lines}}
	at := env.Now().UTC()
	server, err := env.Components(within, c)
	g.addValue("versions.json", "the API server and the plugin", map[string]any{"plugin": version, "server": server}, err)
	asker := ask.New(env, c, of.reach).Within(eachRequest)
	g.objects(within, asker)
	g.logs(within, of.logs)
	g.live(within, asker)
	if err := ctx.Err(); err != nil {
		return err
	}
	m := manifest{At: at, Fairlead: version, Namespace: env.System, Anonymized: f.anonymize}
	return f.write(env, g, m)
}

// write writes the archive where it is to be, and says what is missing.
func (f *flags) write(env *kube.Env, g *gatherer, m manifest) error {
	if f.file == "-" {
		return g.archive.write(env.Terminal, m, g.redact)
	}
	name := f.file
	if name == "" {
		name = "fairlead-support-" + m.At.Format("20060102-150405") + ".tar.gz"
	}
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	err = g.archive.write(to, m, g.redact)
	if closed := to.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	fmt.Fprintf(env.Out, "%s: %s. Look through it before you pass it on.\n", output.Text(name), output.Count(len(g.files), "file", "files"))
	for _, m := range g.missing {
		fmt.Fprintf(env.ErrOut, "Missing: %s: %s\n", output.Text(m.What), output.Lines(m.Why))
	}
	return nil
}

// logsOf reads logs by the API server.
func logsOf(env *kube.Env) (Logs, error) {
	config, err := env.Config()
	if err != nil {
		return nil, err
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return func(ctx context.Context, p *corev1.Pod, o *corev1.PodLogOptions) (io.ReadCloser, error) {
		return set.CoreV1().Pods(p.Namespace).GetLogs(p.Name, o).Stream(ctx)
	}, nil
}
