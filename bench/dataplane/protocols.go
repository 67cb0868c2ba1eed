package main

// What protocols are measured with, at full speed and at a constant rate.
var (
	unary         = load{path: "/", conns: 8, streams: 16}
	grpcUnary     = load{path: "/bench.Bench/Call", conns: 8, streams: 16, grpc: true}
	overOriginate = load{front: tlsFront, path: "/", conns: connections}
)

// elsewhere reports whether a proxy does not take part in what is measured of HTTP/2, TLS and bytes: nginx and net/http speak HTTP/1.1 to
// servers, and are here for that.
func elsewhere(cand *candidate) bool { return cand.name == "nginx" || cand.name == "nethttp" }

// streams makes calls over HTTP/2 in the clear, on both sides of the proxies.
func (c *conductor) streams(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	_, err := c.faultless(cand, "http2-unary", unary)
	return err
}

// streamsAtRate measures latencies of single streams, of which 16 at a time are due on a connection.
func (c *conductor) streamsAtRate(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	return c.atRate(cand, "http2-constant-rate", "http2-unary", unary)
}

// grpcCalls has one message of 1 KB each way, and trailers.
func (c *conductor) grpcCalls(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	_, err := c.faultless(cand, "grpc-unary", grpcUnary)
	return err
}

func (c *conductor) grpcAtRate(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	return c.atRate(cand, "grpc-constant-rate", "grpc-unary", grpcUnary)
}

// originated makes calls in the clear that the proxies make over TLS.
func (c *conductor) originated(cand *candidate) error {
	if !cand.compared() {
		return nil
	}
	_, err := c.faultless(cand, "tls-originate", overOriginate)
	return err
}

func (c *conductor) originatedAtRate(cand *candidate) error {
	if !cand.compared() {
		return nil
	}
	return c.atRate(cand, "tls-originate-constant-rate", "tls-originate", overOriginate)
}

func (c *conductor) originatedStreams(cand *candidate) error {
	if !cand.compared() {
		return nil
	}
	_, err := c.faultless(cand, "tls-originate-http2", load{front: tlsFront, path: "/", conns: 8, streams: 16})
	return err
}

// bulk has answers of bulkSize, two at a time.
func (c *conductor) bulk(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	_, err := c.faultless(cand, "http1-bulk", load{front: bulkFront, path: "/", conns: 2})
	return err
}

// bulkUploads has requests of bulkSize, two at a time.
func (c *conductor) bulkUploads(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	_, err := c.faultless(cand, "http1-bulk-upload", load{front: bulkFront, path: "/", conns: 2, upload: true})
	return err
}

func (c *conductor) bulkStreamUploads(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	_, err := c.faultless(cand, "http2-bulk-upload", load{front: bulkFront, path: "/", conns: 2, streams: 1, upload: true})
	return err
}

func (c *conductor) bulkStreams(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	_, err := c.faultless(cand, "http2-bulk", load{front: bulkFront, path: "/", conns: 2, streams: 1})
	return err
}

// opaqueBulk is bulk over connections of which the proxies look at nothing.
func (c *conductor) opaqueBulk(cand *candidate) error {
	if elsewhere(cand) {
		return nil
	}
	_, err := c.faultless(cand, "opaque-bulk", load{front: opaqueFront, path: "/", conns: 2})
	return err
}
