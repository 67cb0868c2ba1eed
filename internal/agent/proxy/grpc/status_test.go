package grpc

import (
	"testing"

	"google.golang.org/grpc/codes"
)

func TestContentTypes(t *testing.T) {
	for give, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc+json": true, "application/grpc;charset=utf-8": true,
		"application/grpc ; x=y": true, "Application/GRPC+Proto": true, "application/grpc+": true,
		"application/grpc-web": false, "application/grpc-web+proto": false, "application/grpc-web-text": false, "application/grpcx": false,
		"application/grp": false, "": false, "text/plain": false, "application/connect+proto": false, "application/proto": false,
	} {
		if got := Is([]byte(give)); got != want {
			t.Errorf("%q is gRPC: %v", give, got)
		}
	}
}

func TestStatuses(t *testing.T) {
	for give, want := range map[string]int{
		"0": 0, "1": 1, "14": 14, "16": 16, "014": 14, "00": 0,
		"17": Unknown, "99999999999999999999": Unknown, "-1": Unknown, "+1": Unknown, "": Unknown, " 1": Unknown, "x": Unknown, "1x": Unknown,
	} {
		if got := ParseStatus([]byte(give)); got != want {
			t.Errorf("grpc-status %q is %d, want %d", give, got, want)
		}
	}
}

func TestStatusesOfOtherProtocols(t *testing.T) {
	for status, want := range map[int]codes.Code{
		200: codes.Unknown, 400: codes.Internal, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 404: codes.Unimplemented,
		429: codes.Unavailable, 500: codes.Unknown, 502: codes.Unavailable, 503: codes.Unavailable, 504: codes.Unavailable, 505: codes.Unknown,
	} {
		if got := StatusOfHTTP(status); got != int(want) {
			t.Errorf("HTTP %d is %d, want %v", status, got, want)
		}
	}
	for code, want := range map[uint32]codes.Code{
		0x0: codes.Internal, 0x1: codes.Internal, 0x2: codes.Internal, 0x7: codes.Unavailable, 0x8: codes.Canceled,
		0xb: codes.ResourceExhausted, 0xc: codes.PermissionDenied, 0xd: codes.Internal, 1 << 31: codes.Internal,
	} {
		if got := StatusOfReset(code); got != int(want) {
			t.Errorf("a reset with %#x is %d, want %v", code, got, want)
		}
	}
}
