package grpc

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/agent/capture/netns/netnstest"
)

// What each server of connectrpc.com/conformance is tested for.
const (
	grpcFeatures = `features:
  versions: [HTTP_VERSION_2]
  protocols: [PROTOCOL_GRPC]
  codecs: [CODEC_PROTO]
  supportsTls: false
`
	webFeatures = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO]
  supportsTls: false
`
	allFeatures = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supportsTls: false
  supportsHalfDuplexBidiOverHttp1: true
`
	// compressedFeatures are the compressions that allFeatures leaves out.
	compressedFeatures = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO]
  compressions: [COMPRESSION_BR, COMPRESSION_ZSTD, COMPRESSION_DEFLATE, COMPRESSION_SNAPPY]
  supportsTls: false
  supportsHalfDuplexBidiOverHttp1: true
`
	// tlsFeatures leaves out what differs from allFeatures in what messages hold alone.
	tlsFeatures = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO]
  compressions: [COMPRESSION_IDENTITY]
  supportsTls: true
  supportsHalfDuplexBidiOverHttp1: true
excludeCases:
- useTls: false
`
)

// conformances are the runs of the suite: each server by each of the ways.
var conformances = map[string]struct {
	server, features string
	failing          []string // of the server itself, as the suite's own list has it
	ways             []way
	kinds            []string // of which there must be cases
}{
	"grpc-go":               {grpcServer, grpcFeatures, failingCardinality, []way{direct, governed, originated}, allKinds[:1]},
	"grpc-go-web":           {grpcServer, webFeatures, failingCardinality, []way{direct, governed, originated}, allKinds[1:3]},
	"connect-go":            {referenceServer, allFeatures, nil, []way{direct, governed, originated}, allKinds},
	"connect-go-compressed": {referenceServer, compressedFeatures, nil, []way{direct, governed}, allKinds},
	"connect-go-tls":        {referenceServer, tlsFeatures, nil, []way{directTLS, intercepted}, allKinds},
}

// failingCardinality are cases that grpc-go's server answers with another status than the suite wants.
var failingCardinality = []string{
	"**/unary/multiple-requests", "**/unary/no-request", "**/server-stream/multiple-requests", "**/server-stream/no-request",
}

var allKinds = []string{
	"HTTPVersion:2/Protocol:PROTOCOL_GRPC/", "HTTPVersion:1/Protocol:PROTOCOL_GRPC_WEB/", "HTTPVersion:2/Protocol:PROTOCOL_GRPC_WEB/",
	"HTTPVersion:1/Protocol:PROTOCOL_CONNECT/", "HTTPVersion:2/Protocol:PROTOCOL_CONNECT/",
}

// suiteTakes bounds a run of the suite.
const suiteTakes = 5 * time.Minute

func TestConformance(t *testing.T) {
	for _, pkg := range []string{connectConformance, grpcServer, referenceServer} {
		program(t, pkg)
	}
	for name, c := range conformances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var results perWay
			t.Run("ways", func(t *testing.T) {
				for _, how := range c.ways {
					t.Run(how.name, func(t *testing.T) {
						t.Parallel()
						results.put(how, conform(t, newWorld(t, how), c.server, c.features, c.failing))
					})
				}
			})
			results.compare(t, c.ways)
			for _, how := range c.ways {
				results.all[how.name].needs(t, c.kinds)
			}
		})
	}
}

// conform runs the suite in the pod, with a server outside.
func conform(t *testing.T, w *world, server, features string, failing []string) outcomes {
	ctx, cancel := context.WithTimeout(context.Background(), suiteTakes)
	defer cancel()
	check(t, os.WriteFile(w.file("config.yaml"), []byte(features), 0o600))
	self, err := os.Executable()
	check(t, err)
	args := []string{program(t, connectConformance), "--vv", "--conf", w.file("config.yaml"), "--mode", "server"}
	for _, f := range failing {
		args = append(args, "--known-failing", f)
	}
	cmd := w.command(ctx, w.pod, append(args, "--", "nsenter", "--net="+w.outside.Path, self)...)
	cmd.Env = append(os.Environ(), serverVariable+"="+w.serverFile(program(t, server)))
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s", err, problems.String())
	}
	o := outcomesIn(out.String())
	for name, outcome := range o {
		if outcome != passed && outcome != failedAsExpected {
			t.Errorf("%s has %s", name, outcome)
		}
	}
	if n := w.seen.grpc.Load() + w.seen.others.Load(); w.way.captured && n < int64(len(o))/2 { // some end before they send anything
		t.Errorf("%d calls were governed, of %d cases", n, len(o))
	}
	return o
}

// How cases end.
const (
	passed           = "passed"
	failedAsExpected = "failed as expected"
	unanswered       = "not been answered"
)

// What the suite says of its cases.
var (
	sentCase     = regexp.MustCompile(`(?m)^Sending request for ("[^"]*")\.\.\.$`)
	answeredCase = regexp.MustCompile(`(?m)^Received response for ("[^"]*")\.\.\.$`)
	failedCase   = regexp.MustCompile(`(?m)^FAILED: (.*?)(:\n(?:\t.*\n)*| was expected to fail but did not)`)
	expectedCase = regexp.MustCompile(`(?m)^INFO: (.*) failed \(as expected\):$`)
)

// outcomesIn reads what the suite has said.
func outcomesIn(said string) outcomes {
	o := outcomes{}
	quoted := func(of *regexp.Regexp, outcome string) {
		for _, m := range of.FindAllStringSubmatch(said, -1) {
			if name, err := strconv.Unquote(m[1]); err == nil {
				o[name] = outcome
			}
		}
	}
	quoted(sentCase, unanswered)
	quoted(answeredCase, passed)
	for _, m := range expectedCase.FindAllStringSubmatch(said, -1) {
		o[m[1]] = failedAsExpected
	}
	for _, m := range failedCase.FindAllStringSubmatch(said, -1) {
		o[m[1]] = "failed" + m[2]
	}
	return o
}

func TestOutcomesAreRead(t *testing.T) {
	got := outcomesIn(`Computed 3 config case permutations.
Sending request for "a/HTTPVersion:2/unary/success"...
Sending request for "b"...
Received response for "b"...
Sending request for "c"...
Received response for "c"...
Sending request for "d"...
Received response for "d"...
Sending request for "e"...
Received response for "e"...
FAILED: c:
	wanted 1
	got 2
INFO: d failed (as expected):
	unimplemented
FAILED: e was expected to fail but did not

Total cases: 5
1 passed, 2 failed
`)
	want := outcomes{
		"a/HTTPVersion:2/unary/success": unanswered, "b": passed, "c": "failed:\n\twanted 1\n\tgot 2\n", "d": failedAsExpected,
		"e": "failed was expected to fail but did not",
	}
	if d := want.differences(got); len(d) > 0 {
		t.Errorf("%q", d)
	}
}

// serverFile describes a server of the suite for runServer, in a file.
func (w *world) serverFile(path string) string {
	w.t.Helper()
	d := suiteServer{Command: []string{path, "-bind", netnstest.World4.String()}, Originated: w.way.serverTLS && !w.way.clientTLS}
	switch {
	case !w.way.serverTLS:
	case path == program(w.t, grpcServer): // which speaks none
		d.Originated, d.Certificate, d.Key = false, w.file("cert"), w.file("key")
	default:
		d.Command = append(d.Command, "-cert", w.file("cert"), "-key", w.file("key"))
	}
	if w.way.clientTLS {
		d.Roots = w.trusted()
	}
	file := w.file("server")
	check(w.t, d.write(file))
	return file
}
