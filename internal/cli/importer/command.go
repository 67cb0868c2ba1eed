package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/internal/cli/gather"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/cli/schema"
)

// New returns the command.
func New(env *kube.Env) *cobra.Command {
	var files gather.Files
	var o Options
	var all bool
	var format string
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make policies of routes of the Gateway API, of Istio and of Linkerd",
		Long: `Makes RetryPolicies of the retries, timeouts, connection pools and outlier detection in HTTPRoutes and GRPCRoutes, VirtualServices and
DestinationRules, and Linkerd's annotations of Services and routes: from files, or from the cluster without -f. The policies are printed, and nothing is
written. What cannot be kept, or holds in another way, is listed on standard error with the reason.`,
		Example: `  kubectl fairlead import -f virtualservice.yaml -f destinationrule.yaml
  kubectl fairlead import -n shop > policies.yaml
  kubectl fairlead import -A --cluster | kubectl apply -f -`,
		Args: kube.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := output.Format(format)
			if err := f.Check(output.JSON, output.YAML); err != nil {
				return err
			}
			objects, err := read(cmd.Context(), env, &files, all)
			if err != nil {
				return err
			}
			imported := Import(objects, o)
			if err := imported.keepAccepted(schema.New().Check); err != nil {
				return err
			}
			return imported.print(env.Out, env.ErrOut, f)
		},
	}
	files.AddTo(cmd, "Files or directories with what to import; without, the cluster is read")
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "Read all namespaces of the cluster")
	cmd.Flags().BoolVar(&o.Cluster, "cluster", false, "Write ClusterRetryPolicies for what holds for callers in every namespace")
	cmd.Flags().BoolVar(&o.Gateways, "gateways", false, "Write policies for routes of Gateways too: for pods that call the Services behind them")
	cmd.Flags().StringVarP(&format, "output", "o", "yaml", "Output format: json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// read returns the objects to import.
func read(ctx context.Context, env *kube.Env, files *gather.Files, all bool) ([]*unstructured.Unstructured, error) {
	if files.Given() {
		objects, err := files.Objects(env)
		if err != nil {
			return nil, err
		}
		for _, u := range objects {
			if gk := u.GroupVersionKind().GroupKind(); Known(gk.Group, gk.Kind) {
				return objects, nil
			}
		}
		return nil, errors.New("the files have nothing to import: HTTPRoutes, GRPCRoutes, VirtualServices, DestinationRules, or Services with Linkerd's annotations")
	}
	c, err := env.Client()
	if err != nil {
		return nil, err
	}
	namespace := ""
	if !all {
		if namespace, err = env.Namespace(); err != nil {
			return nil, err
		}
	}
	return readCluster(ctx, c, namespace)
}

// served are the kinds that are looked for in a cluster, with the versions in which they have been served, the newest first.
var served = []struct {
	group, kind string
	versions    []string
}{
	{"gateway.networking.k8s.io", "HTTPRoute", []string{"v1", "v1beta1"}},
	{"gateway.networking.k8s.io", "GRPCRoute", []string{"v1", "v1alpha2"}},
	{"policy.linkerd.io", "HTTPRoute", []string{"v1beta3"}},
	{"networking.istio.io", "VirtualService", []string{"v1", "v1beta1", "v1alpha3"}},
	{"networking.istio.io", "DestinationRule", []string{"v1", "v1beta1", "v1alpha3"}},
	{"", "Service", []string{"v1"}},
	// unread
	{"linkerd.io", "ServiceProfile", []string{"v1alpha2"}},
	{"networking.istio.io", "EnvoyFilter", []string{"v1alpha3"}},
	{"gateway.networking.x-k8s.io", "XBackendTrafficPolicy", []string{"v1alpha1"}},
}

// readCluster lists the objects of the kinds that a cluster has. Those that are not read may be forbidden: no policy is made of them.
func readCluster(ctx context.Context, c client.Reader, namespace string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, k := range served {
		for _, version := range k.versions {
			list := &unstructured.UnstructuredList{}
			list.SetGroupVersionKind(runtimeschema.GroupVersionKind{Group: k.group, Version: version, Kind: k.kind + "List"})
			err := c.List(ctx, list, client.InNamespace(namespace))
			if meta.IsNoMatchError(err) {
				continue
			}
			if apierrors.IsForbidden(err) && unread[k.group+"/"+k.kind] != "" {
				break
			}
			if err != nil {
				return nil, kube.Explain(err, "list "+k.kind+"s")
			}
			for i := range list.Items {
				out = append(out, &list.Items[i])
			}
			break
		}
	}
	return out, nil
}

// print prints the policies to out, and what was not kept to notes.
func (i *Imported) print(out, notes io.Writer, format output.Format) error {
	if format == output.JSON {
		trees := make([]any, len(i.Policies))
		for n, p := range i.Policies {
			trees[n] = p.Object
		}
		if err := output.Value(out, format, map[string]any{"apiVersion": "v1", "kind": "List", "items": trees}); err != nil {
			return err
		}
	} else {
		for n, p := range i.Policies {
			text, err := yaml.Marshal(p.Object)
			if err != nil {
				return fmt.Errorf("print: %w", err)
			}
			fmt.Fprintf(out, "---\n# From %s.\n%s", output.Text(strings.Join(i.From[n], ", ")), text)
		}
	}
	if len(i.Policies) == 0 {
		fmt.Fprintln(notes, "There is nothing to make a policy of.")
	}
	if len(i.Lost) > 0 {
		fmt.Fprintln(notes, "Not kept, or in another way:")
	}
	for _, l := range i.Lost {
		at := l.Object
		if l.Field != "" {
			at += " " + l.Field
		}
		fmt.Fprintf(notes, "- %s: %s.\n", output.Text(at), output.Text(l.Reason))
	}
	return nil
}
