package samples

import (
	"net/http"
	"net/netip"
	"testing"

	"fairlead.dev/fairlead/internal/policy"
)

// grpcStatus answers a gRPC call with headers alone.
func grpcStatus(code string) http.HandlerFunc {
	return status(200, "Content-Type", "application/grpc", "Grpc-Status", code)
}

// message is a gRPC message of three bytes.
const message = "\x00\x00\x00\x00\x03abc"

// Reads are tried again; what may have changed something is not; streams are not bounded.
func TestTheGRPCServicesReadsAreRepeated(t *testing.T) {
	const ok, resourceExhausted, notFound, unavailable = "0", "8", "5", "14"
	for name, tc := range map[string]struct {
		method, first, want string
		seen                int
	}{
		"a read of a server that is away":  {"Get", unavailable, ok, 2},
		"another":                          {"List", resourceExhausted, ok, 2},
		"a read that has its answer":       {"Get", notFound, notFound, 1},
		"a write":                          {"Reserve", unavailable, unavailable, 1},
		"a stream is no read, so the same": {"Watch", unavailable, unavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			up := &answering{}
			w := start(t, "grpc-service.yaml", netip.AddrPortFrom(clusterIP, 50051), up.serve(t), nil)
			up.script(grpcStatus(tc.first), grpcStatus(ok))
			res := call(t, w.client(http2), "POST", "http://inventory.warehouse:50051/shop.v1.Inventory/"+tc.method, message,
				"Content-Type", "application/grpc", "Te", "trailers")
			ends(t, res, 200, up, tc.seen)
			if got := res.Header.Get("Grpc-Status"); got != tc.want {
				t.Errorf("the status is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTheGRPCServicesBounds(t *testing.T) {
	up := &answering{}
	w := start(t, "grpc-service.yaml", netip.AddrPortFrom(clusterIP, 50051), up.serve(t), nil)
	if watch := w.rule("watch").Timeouts; watch.PerTry != 0 || watch.Overall != 0 || watch.Idle != 0 || watch.MaxDuration != 0 {
		t.Errorf("streams are bounded: %+v", watch)
	}
	if reads, base := w.rule("reads"), w.base(); reads.Timeouts.Overall != base.Timeouts.Overall || base.Timeouts.Overall == 0 {
		t.Errorf("reads have %v, others %v", reads.Timeouts.Overall, base.Timeouts.Overall)
	}
	if b := w.base().Breaker; b == nil || b.Scope != policy.ScopeEndpoint {
		t.Errorf("the breaker is %+v", b)
	}
}
