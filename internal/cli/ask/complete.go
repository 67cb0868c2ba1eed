package ask

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fairlead.dev/fairlead/internal/cli/kube"
	"fairlead.dev/fairlead/internal/liveapi"
)

// CompleteCallers completes a word with the workloads of the namespace, or with -A of all, that have made calls in the last hour.
func CompleteCallers(env *kube.Env, reach Reach) kube.Completion {
	return fromInventory(env, reach, func(f *liveapi.Flow) string { return f.Workload })
}

// CompleteCalled completes a word with the destinations that workloads of the namespace, or with -A of all, have called in the last hour.
func CompleteCalled(env *kube.Env, reach Reach) kube.Completion {
	return fromInventory(env, reach, func(f *liveapi.Flow) string { return f.Destination })
}

// fromInventory completes a word with what there is of flows. Where the manager cannot be asked that is nothing.
func fromInventory(env *kube.Env, reach Reach, of func(*liveapi.Flow) string) kube.Completion {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return env.Complete(begun, func(ctx context.Context, c client.Client) (names []string) {
			q := url.Values{"since": {"1h"}, "limit": {"1000"}}
			if all, err := cmd.Flags().GetBool("all-namespaces"); err != nil || !all {
				namespace, err := env.Namespace()
				if err != nil {
					return nil
				}
				q.Set("namespace", namespace)
			}
			var got liveapi.Inventory
			if err := New(env, c, reach).Manager(ctx, liveapi.InventoryPath, q, &got); err != nil {
				return nil
			}
			for i := range got.Flows {
				names = append(names, of(&got.Flows[i]))
			}
			return names
		})
	}
}
