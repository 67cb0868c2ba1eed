package run

import (
	"slices"
	"strings"
)

// proxyVariables are those by which programs find a proxy, in lower case.
var proxyVariables = []string{"http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy"}

// environment is the command's: that of this process, with its proxy replaced, and what a former one was.
func environment(own []string, proxy string) (env, replaced []string) {
	for _, v := range own {
		name, value, _ := strings.Cut(v, "=")
		switch lower := strings.ToLower(name); {
		case !slices.Contains(proxyVariables, lower):
			env = append(env, v)
		case value != "" && lower != "no_proxy":
			replaced = append(replaced, name)
		}
	}
	for _, name := range []string{"http_proxy", "https_proxy", "grpc_proxy", "all_proxy"} {
		env = append(env, name+"="+proxy, strings.ToUpper(name)+"="+proxy)
	}
	return append(env, "NODE_USE_ENV_PROXY=1"), replaced // Node heeds the others with this one alone
}
