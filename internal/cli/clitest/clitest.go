// Package clitest helps to test commands of kubectl fairlead: it runs them against a cluster that is made of objects, and compares what they print with files.
package clitest

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/cli/gather"
	"fairlead.dev/fairlead/internal/cli/kube"
)

var update = flag.Bool("update", false, "write what commands print into the files that it is compared with")

// Now is the time in tests.
var Now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// Env returns an environment whose cluster has the objects in files. What is printed goes to both.
func Env(t *testing.T, files ...string) (env *kube.Env, out, errOut *bytes.Buffer) {
	t.Helper()
	out, errOut = &bytes.Buffer{}, &bytes.Buffer{}
	env = kube.NewEnv(genericiooptions.IOStreams{In: strings.NewReader(""), Out: out, ErrOut: errOut})
	env.Now = func() time.Time { return Now }
	env.Flags = noFlags(t)
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.RetryPolicy{}, &v1alpha1.ClusterRetryPolicy{})
	from := gather.Files{Names: files}
	objects, err := from.Objects(env)
	if err != nil && len(files) > 0 {
		t.Fatal(err)
	}
	for _, u := range objects {
		b = b.WithObjects(u)
	}
	c := b.Build()
	env.Flags = noFlags(t) // the others remember which namespace there was
	env.Connect = func() (client.WithWatch, error) { return c, nil }
	return env, out, errOut
}

// noFlags returns the flags of kubectl with an empty kubeconfig: that of who runs the tests is not read.
func noFlags(t *testing.T) *genericclioptions.ConfigFlags {
	t.Helper()
	flags := genericclioptions.NewConfigFlags(true)
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags.KubeConfig = &none
	return flags
}

// Run runs a command, as it stands below the root, and returns its error.
func Run(t *testing.T, env *kube.Env, cmd *cobra.Command, args ...string) error {
	t.Helper()
	root := &cobra.Command{Use: "fairlead", SilenceErrors: true, SilenceUsage: true, Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl fairlead"}}
	env.AddFlags(root.PersistentFlags())
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.ErrOut)
	root.AddCommand(cmd)
	root.SetArgs(append([]string{cmd.Name()}, args...))
	return root.ExecuteContext(t.Context())
}

// Golden compares what was printed with a file below testdata; go test -update writes it.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: go test -update writes it", err)
	}
	if string(want) != got {
		t.Errorf("%s: printed\n%s\nwant\n%s", path, got, want)
	}
}
