package pages

const (
	install   = "hack/charts.sh installs, upgrades and uninstalls by the charts before and after the stories"
	release   = "hack/release's tests make what a release consists of, and an API server admits each object of it"
	registry  = "no test has a registry"
	ownTool   = "it is about a local cluster of one's own: hack/e2e-local.sh brings one up by the same tool, whose own tests are in hack/cluster"
	restarted = "every agent would be replaced: test/e2e/tracing_test.go and internal/agent/telemetry set these variables"
)

// Elsewhere lists the commands that the story of test/e2e leaves out.
var Elsewhere = []Exception{
	{"", "make ", "CI consists of targets; hack's tests hold that those of the pages exist"},
	{"README.md", "for i in manager agent", registry},
	{"README.md", "kubectl create namespace", install},
	{"README.md", "helm ", install},
	{"CONTRIBUTING.md", "export KUBECONFIG", ownTool},
	{"charts/fairlead/README.md", "helm ", install},
	{"charts/fairlead-crds/README.md", "helm ", install},
	{"charts/fairlead-crds/README.md", "kubectl delete crd", "it takes away the policies of all stories"},
	{"hack/cluster/README.md", "bin/cluster", ownTool},
	{"hack/cluster/README.md", "KUBEBUILDER_ASSETS", "make kube-assets, which tests with an API server begin with, is this command"},
	{"docs/getting-started.md", "export ", "the stories have a cluster"},
	{"docs/guides/dashboard.md", "kubectl fairlead dashboard", "it opens a browser: test/e2e/dashboard_test.go serves it without"},
	{"docs/guides/dashboard.md", "kubectl -n fairlead-system port-forward", "test/e2e/dashboard_pod_test.go installs the dashboard, and forwards its port"},
	{"docs/guides/run.md", "fairlead run", "internal/cli/run's tests run programs under policies, with servers of their own in place of these hosts"},
	{"docs/guides/tracing.md", "kubectl -n fairlead-system set env", restarted},
	{"docs/operations/observability.md", "kubectl -n fairlead-system set env", restarted},
	{"docs/operations/install.md", "skopeo", registry},
	{"docs/operations/install.md", "kubectl create namespace", install},
	{"docs/operations/install.md", "kubectl label namespace", install},
	{"docs/operations/install.md", "helm ", install},
	{"docs/operations/install.md", "kubectl create -f install.yaml", release},
	{"docs/operations/install.md", "kubectl apply --server-side -k 'https", "hack/release's tests build it by the URL of a repository of their own, and compare it with install.yaml"},
	{"docs/operations/install.md", "kubectl krew", "no test has Krew: hack/release's tests compare the manifest with the archives"},
	{"docs/operations/install.md", "kubectl delete namespace", install},
	{"docs/operations/runbooks.md", "kubectl -n fairlead-system top pod", "it asks the metrics server, which local clusters do not have"},
	{"docs/operations/runbooks.md", "kubectl -n fairlead-system logs AGENT --previous", "there is a log from before once an agent has ended"},
	{"docs/reference/metrics.md", "kubectl apply -k config/monitoring", "its kinds are the Prometheus operator's: test/monitoring and test/e2e/monitoring_test.go use the same files without"},
}
