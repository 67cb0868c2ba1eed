# Everything is built by the Go toolchain that go.mod names, whichever Go is installed; GO_TOOLCHAIN=local uses that one.
GO_TOOLCHAIN ?= $(shell sed -n 's/^toolchain //p' go.mod)
export GOTOOLCHAIN := $(GO_TOOLCHAIN)
