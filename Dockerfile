# syntax=docker/dockerfile:1
# The images of manager, agent and dashboard: docker build --target manager|agent|dashboard .
# With buildx, --platform linux/amd64,linux/arm64 compiles for both on the builder's own platform.

FROM --platform=$BUILDPLATFORM golang:1.27 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY api/ api/
COPY cmd/ cmd/
COPY internal/ internal/
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    for program in manager agent dashboard; do \
      go build -trimpath -buildvcs=false -tags grpcnotrace -ldflags "-s -w" -o /out/$program ./cmd/$program || exit 1; \
    done

# The manager reads and writes the API and serves agents: it needs no right on its node.
FROM scratch AS manager
COPY --from=build /out/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]

# The dashboard only reads: docs/guides/dashboard.md.
FROM scratch AS dashboard
COPY --from=build /out/dashboard /dashboard
USER 65532:65532
ENTRYPOINT ["/dashboard"]

# The agent enters pods' network namespaces. The capabilities for that reach only a process whose
# user is root; the DaemonSet drops all others.
FROM scratch AS agent
COPY --from=build /out/agent /agent
# The public roots, for policies that trust them (tls.caBundleRef: {kind: System}).
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 0:0
ENTRYPOINT ["/agent"]
