package explain

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/effective"
	"fairlead.dev/fairlead/internal/cli/gather"
	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/cli/output"
	"fairlead.dev/fairlead/internal/cli/schema"
)

// options are the flags.
type options struct {
	env     *kube.Env
	files   gather.Files
	method  string
	path    string
	headers []string
	grpc    string
	http2   bool
	address string
	domain  string
	all     bool
	output  string
}

// New returns the command.
func New(env *kube.Env) *cobra.Command {
	o := options{env: env}
	cmd := &cobra.Command{
		Use:   "explain POD DEST",
		Short: "Explain which policy, rule and settings would govern a call",
		Long: `Explains, step by step, what would govern a call that a pod makes: which policies select the pod, which destination fits the call, which rule, and
which settings follow, each with where it comes from. Nothing is called.

POD is a pod, pod/NAME, or the name of a workload with -f. DEST is a URL, service.namespace:port, host:port or address:port.`,
		Example: `  kubectl fairlead explain checkout-6d4f payments.shop:8080 --method POST --path /pay
  kubectl fairlead explain checkout-6d4f https://api.example/v1/charge
  kubectl fairlead explain checkout-6d4f grpc://inventory:9000 --grpc stock.v1.Stock/Get
  kubectl fairlead explain checkout -f deployment.yaml -f policies/ http://payments:8080`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("explain needs a pod and a destination: kubectl fairlead explain POD DEST; as destination, %s", destinationForms)
			}
			return nil
		},
		ValidArgsFunction: kube.Arguments(env.CompletePods(), env.CompleteDestinations()),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], args[1])
		},
	}
	flags := cmd.Flags()
	o.files.AddTo(cmd, "Files or directories with policies, pods or workloads and Services, to explain them without a cluster")
	flags.StringVar(&o.method, "method", "", "The HTTP method (default GET)")
	flags.StringVar(&o.path, "path", "", "The path of the request (default that of DEST, or /)")
	flags.StringArrayVar(&o.headers, "header", nil, `A header field of the request, "name: value"; may be repeated`)
	flags.StringVar(&o.grpc, "grpc", "", "It is a gRPC call of this method: package.Service/Method")
	flags.BoolVar(&o.http2, "http2", false, "The pod speaks HTTP/2")
	flags.StringVar(&o.address, "address", "", "The address that the name of DEST has, where policies go by addresses")
	flags.StringVar(&o.domain, "cluster-domain", "cluster.local", "The domain of the cluster's DNS")
	flags.BoolVar(&o.all, "all", false, "Show the fields that have their built-in default too")
	flags.StringVarP(&o.output, "output", "o", "", "Output format: json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *options) run(ctx context.Context, podName, dest string) error {
	format := output.Format(o.output)
	if err := format.Check(output.JSON, output.YAML); err != nil {
		return err
	}
	e, err := o.explain(ctx, podName[strings.LastIndexByte(podName, '/')+1:], dest)
	if err != nil {
		return err
	}
	if format != output.None {
		return output.Value(o.env.Out, format, e)
	}
	e.print(o.env.Out, o.all)
	return nil
}

func (o *options) explain(ctx context.Context, podName, dest string) (*Explanation, error) {
	c, err := o.call(dest)
	if err != nil {
		return nil, err
	}
	namespace, err := o.env.Namespace()
	if err != nil {
		return nil, err
	}
	g, err := o.gather(ctx, &c, namespace)
	if err != nil {
		return nil, err
	}
	g.Domain = o.domain
	i := slices.IndexFunc(g.Pods, func(p corev1.Pod) bool { return p.Namespace == namespace && p.Name == podName })
	if i < 0 {
		return nil, fmt.Errorf("there is no pod %s in namespace %s%s", podName, namespace, o.pods(g))
	}
	if err := c.resolve(g.Services, namespace, o.domain); err != nil {
		return nil, err
	}
	compiled := effective.Compile(&g.World, o.env.Now())
	e := Explain(compiled.For(&g.Pods[i]), &c, compiled.Destination)
	e.Pod, e.Notes = namespace+"/"+podName, append(e.Notes, g.Notes...)
	if note := g.UnknownLabels(namespace); note != "" {
		e.Notes = append(e.Notes, note)
	}
	for _, r := range compiled.Refused {
		if r.ID.Namespace == "" || r.ID.Namespace == namespace {
			e.Refused = append(e.Refused, r.ID.Kind.String()+" "+r.ID.String()+": "+r.Problems[0].Message)
		}
	}
	return e, nil
}

// gather collects what concerns the call, from the cluster or from files.
func (o *options) gather(ctx context.Context, c *Call, namespace string) (*gather.Gathered, error) {
	if o.files.Given() {
		objects, err := o.files.Objects(o.env)
		if err == nil {
			err = schema.New().All(objects)
		}
		if err != nil {
			return nil, err
		}
		return gather.World(o.env, objects)
	}
	cl, err := o.env.Client()
	if err != nil {
		return nil, err
	}
	also := serviceNames(c.Host, namespace, o.domain)
	if c.Address.IsValid() {
		if also, err = servicesAt(ctx, cl, c.Address.String()); err != nil {
			return nil, err
		}
	}
	return gather.Namespace(ctx, o.env, cl, namespace, true, also...)
}

// servicesAt finds the Services whose cluster IP an address is. Where Services of all namespaces may not be listed, none are found.
func servicesAt(ctx context.Context, c client.Reader, address string) ([]string, error) {
	var list corev1.ServiceList
	if err := c.List(ctx, &list); err != nil {
		if client.IgnoreNotFound(err) != nil && !isForbidden(err) {
			return nil, kube.Explain(err, "list Services")
		}
		return nil, nil
	}
	var names []string
	for i := range list.Items {
		if s := &list.Items[i]; slices.Contains(s.Spec.ClusterIPs, address) || s.Spec.ClusterIP == address {
			names = append(names, s.Namespace+"/"+s.Name)
		}
	}
	return names, nil
}

// pods lists some of the pods that there are.
func (o *options) pods(g *gather.Gathered) string {
	var names []string
	for i := range g.Pods {
		names = append(names, g.Pods[i].Namespace+"/"+g.Pods[i].Name)
	}
	switch slices.Sort(names); {
	case len(names) == 0 && o.files.Given():
		return ": the files have neither pods nor workloads"
	case len(names) == 0:
		return ": it has none"
	case len(names) > 5:
		return fmt.Sprintf("; there are %s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return "; there are " + strings.Join(names, ", ")
}

// call reads what the flags and DEST say of the call.
func (o *options) call(dest string) (Call, error) {
	c, err := parseDestination(dest)
	if err != nil {
		return c, err
	}
	c.HTTP2 = c.HTTP2 || o.http2
	c.Path = cmp.Or(o.path, c.Path)
	c.Path, _, _ = strings.Cut(c.Path, "?")
	if !strings.HasPrefix(c.Path, "/") {
		return c, fmt.Errorf("--path %q: a path begins with a slash", o.path)
	}
	c.Method = cmp.Or(o.method, c.Method)
	if o.grpc != "" {
		if service, method, ok := strings.Cut(strings.TrimPrefix(o.grpc, "/"), "/"); !ok || service == "" || method == "" {
			return c, fmt.Errorf("--grpc %q: write package.Service/Method", o.grpc)
		}
		c.GRPC, c.HTTP2, c.Method, c.Path = true, true, "POST", "/"+strings.TrimPrefix(o.grpc, "/")
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return c, fmt.Errorf(`--header %q: write "name: value"`, h)
		}
		c.Headers = append(c.Headers, [2]string{strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)})
		if strings.EqualFold(strings.TrimSpace(name), "host") {
			c.name(strings.TrimSpace(value))
		}
	}
	if o.address != "" {
		a, err := netip.ParseAddr(o.address)
		if err != nil {
			return c, fmt.Errorf("--address %q is not an IP address", o.address)
		}
		c.Address = a.Unmap()
	}
	return c, nil
}
