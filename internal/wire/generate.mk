# Generates the Go code of the wire protocol. Included by the Makefile; needs protoc (Debian: protobuf-compiler).
PROTOC ?= protoc
WIRE_DIR := internal/wire
WIRE_BIN := $(CURDIR)/bin/wire

.PHONY: generate-proto
generate-proto: ## Generate Go code from internal/wire/proto.
	@command -v $(PROTOC) >/dev/null || { echo "protoc is missing: apt-get install protobuf-compiler" >&2; exit 1; }
	@mkdir -p $(WIRE_BIN)
	go build -modfile=go.tools.mod -o $(WIRE_BIN)/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	PATH="$(WIRE_BIN):$$PATH" $(PROTOC) -I $(WIRE_DIR)/proto \
		--go_out=. --go_opt=module=fairlead.dev/fairlead \
		--go-grpc_out=. --go-grpc_opt=module=fairlead.dev/fairlead \
		$(WIRE_DIR)/proto/*.proto
