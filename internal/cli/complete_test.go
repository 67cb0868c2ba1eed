package cli

import (
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cli/clitest"
)

// Names are completed from the cluster, for arguments and for the values of flags.
func TestNamesAreCompleted(t *testing.T) {
	for name, tc := range map[string]struct{ line, want string }{
		"a policy":                           {"describe p", "partner payments"},
		"a policy of the cluster":            {"describe c", "clusterretrypolicy/base clusterretrypolicy/guard"},
		"no second policy":                   {"describe payments p", ""},
		"a policy whose endpoints to list":   {"endpoints shop/p", "shop/partner shop/payments"},
		"a policy to force":                  {"breakers open p", "partner payments"},
		"a destination to force":             {"breakers open payments --destination b", "billing/payments:80"},
		"a policy of calls":                  {"tap --policy shop/o", "shop/outside"},
		"one of all namespaces":              {"tap -A --policy b", "base billing/ledger"},
		"one of the namespace alone":         {"tap --policy b", "base"},
		"the policy of a trace":              {"trace --policy g", "guard"},
		"the policy of top":                  {"top --policy shop/n", "shop/new"},
		"a node":                             {"tap --node n", "node-1 node-2"},
		"the node of a trace":                {"trace --node node-2", "node-2"},
		"the node of endpoints":              {"endpoints --node ", "node-1 node-2"},
		"a workload":                         {"tap --workload c", "cart checkout"},
		"the workload of a trace":            {"trace --workload ch", "checkout"},
		"a workload to suggest policies for": {"suggest c", "cart checkout"},
		"a host":                             {"tap --host ", "api.example cache.shop nowhere.shop payments.billing search.example"},
		"the host of a trace":                {"trace --host s", "search.example"},
		"a pod":                              {"explain checkout", "checkout-1 checkout-2"},
		"a destination":                      {"explain web-1 ", "api.example:443 api.example:80 cache.shop nowhere.shop payments.billing payments.billing:80 search.example:8443"},
		"nothing behind it":                  {"explain web-1 cache.shop ", ""},
		"a namespace":                        {"status --namespace b", "billing"},
		"fairlead's namespace":               {"status --fairlead-namespace s", "shop"},
		"a format":                           {"top -o ", "json name wide yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			env, out, _ := clitest.Env(t, "testdata/shop.yaml", "testdata/complete.yaml")
			namespace := "shop"
			env.Flags.Namespace = &namespace
			cmd := root(env)
			words := strings.Split(tc.line, " ")
			cmd.SetArgs(append([]string{"__complete"}, words...))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := strings.Fields(out.String())
			if len(got) == 0 || got[len(got)-1] != ":4" { // no files
				t.Fatalf("printed %q", out)
			}
			got = got[:len(got)-1]
			slices.Sort(got)
			if strings.Join(got, " ") != tc.want {
				t.Errorf("completed to %s, want %s", strings.Join(got, " "), tc.want)
			}
		})
	}
}

// Every listing has the flags of one.
func TestListingsHaveTheFlagsOfListings(t *testing.T) {
	env, _, _ := clitest.Env(t)
	for _, name := range []string{"status", "breakers", "breakers history", "endpoints", "top"} {
		cmd, _, err := root(env).Find(strings.Fields(name))
		if err != nil {
			t.Fatal(err)
		}
		for flag, short := range map[string]string{"all-namespaces": "A", "selector": "l", "output": "o", "watch": "w", "no-headers": ""} {
			if f := cmd.Flags().Lookup(flag); f == nil || f.Shorthand != short {
				t.Errorf("%s: --%s is %+v", name, flag, f)
			}
		}
		if f := cmd.InheritedFlags().Lookup("namespace"); f == nil || f.Shorthand != "n" {
			t.Errorf("%s has no -n", name)
		}
		if usage := cmd.Flags().Lookup("output").Usage; usage != "Output format: wide, json, yaml or name" {
			t.Errorf("%s: -o is %s", name, usage)
		}
	}
}
