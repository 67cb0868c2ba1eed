package kube

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// Arguments completes the first argument by the first of completions, the second by the second, and those behind by none.
func Arguments(by ...Completion) Completion {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(by) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return by[len(args)](cmd, nil, begun)
	}
}

// CompleteDestinations completes a word with what pods of the namespace may call: the Services and hosts that policies name, as name.namespace:port and
// host:port, and the Services of the namespace.
func (e *Env) CompleteDestinations() Completion {
	return e.everywhere(func(ctx context.Context, c client.Client) []string {
		return e.destinations(ctx, c, func(host, port string) string {
			if port == "" {
				return host
			}
			return net.JoinHostPort(host, port)
		})
	})
}

// CompleteHosts is CompleteDestinations without ports.
func (e *Env) CompleteHosts() Completion {
	return e.everywhere(func(ctx context.Context, c client.Client) []string {
		return e.destinations(ctx, c, func(host, _ string) string { return host })
	})
}

// destinations returns what pods of the namespace may call, each as written says. What cannot be listed completes nothing.
func (e *Env) destinations(ctx context.Context, c client.Client, written func(host, port string) string) (names []string) {
	namespace, err := e.Namespace()
	if err != nil {
		return nil
	}
	policies, err := Policies(ctx, c, &client.ListOptions{Namespace: namespace})
	if err != nil {
		return nil
	}
	for i := range policies {
		for _, to := range policies[i].To() {
			host, ports := named(&to, namespace)
			for _, port := range ports {
				names = append(names, written(host, port))
			}
		}
	}
	for _, name := range e.namesOf(ctx, c, corev1.SchemeGroupVersion.WithKind("Service"), true) {
		names = append(names, written(name+"."+namespace, ""))
	}
	return names
}

// named returns the host and the ports of a destination that has a name, for a caller of a namespace. A port is empty where it is not known.
func named(to *v1alpha1.Destination, namespace string) (host string, ports []string) {
	switch {
	case to.Service != nil:
		port := ""
		if p := to.Service.Port; p != nil && p.Type == intstr.Int {
			port = p.String()
		}
		if to.Service.Namespace != "" {
			namespace = to.Service.Namespace
		}
		return fmt.Sprintf("%s.%s", to.Service.Name, namespace), []string{port}
	case to.Host == "" || strings.Contains(string(to.Host), "*"):
		return "", nil
	case len(to.Ports) == 0:
		return string(to.Host), []string{"80", "443"} // the defaults of ports
	}
	for _, port := range to.Ports {
		ports = append(ports, strconv.Itoa(int(port)))
	}
	return string(to.Host), ports
}
