# Deploying to the cluster KUBECONFIG names, and the demonstration.
KUBECTL ?= kubectl

.PHONY: deploy
deploy: ## Install fairlead on the cluster KUBECONFIG names and wait for it.
	@hack/deploy.sh

.PHONY: undeploy
undeploy: ## Remove fairlead from the cluster KUBECONFIG names.
	$(KUBECTL) delete --ignore-not-found -k config/default

.PHONY: demo
demo: ## Start a local cluster, deploy, and show what a policy does to failing calls.
	@hack/demo.sh up

.PHONY: demo-down
demo-down: ## Take the demonstration's cluster down.
	@hack/demo.sh down
