# The dashboard's pages: npm builds web/ into internal/dashboard/assets/dist, which is committed.
.PHONY: web
web: web/node_modules/.package-lock.json ## Build the dashboard's pages.
	cd web && npm run build

.PHONY: web-deps
web-deps: ## Install what builds the dashboard's pages (root on Debian), or say what is missing.
	@hack/deps.sh web

# npm writes this file last. What it installs is as package-lock.json says, by checksum.
web/node_modules/.package-lock.json: web/package-lock.json | web-deps
	cd web && npm ci --no-audit --no-fund --loglevel=error
	touch $@

.PHONY: verify-web
verify-web: ## The dashboard's pages are typed, linted and tested, and the bundle is what npm builds.
	@hack/verify-web.sh

.PHONY: browser-deps
browser-deps: web/node_modules/.package-lock.json ## Install Chromium, and axe-core by npm.
	@hack/deps.sh browser

.PHONY: test-browser
test-browser: browser-deps ## The dashboard's pages in Chromium: errors, accessibility, hostile names. SCREENSHOTS=folder keeps pictures (bin/screenshots).
	SCREENSHOTS="$(or $(SCREENSHOTS),$(CURDIR)/bin/screenshots)" go test -count=1 -timeout 20m -v ./test/browser
