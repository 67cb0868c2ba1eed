package main

import (
	"fmt"
	"time"
)

const (
	connections     = 64
	idleConnections = 10_000
	// idleTunnels are fewer: each holds a connection on both sides, and the limit of open files is often 20,000.
	idleTunnels = 4_000
	// leastWarmUp is how long every load runs at least before it counts: buffers, pools and the processor's caches and frequency become steady.
	leastWarmUp = 300 * time.Millisecond
)

// keepalive is the load that most is measured with: calls of HTTP/1.1, each when the one before it on its connection has ended.
var keepalive = load{path: "/", conns: connections}

// costed runs a load and reports processor time per call and calls per second.
func (c *conductor) costed(cand *candidate, bench string, l load) (loadResult, error) {
	var before, after usage
	l.duration, l.warm = c.duration, c.warmUp()
	l.begin = func() (err error) { before, err = cand.usage(); return err }
	l.finish = func() (err error) { after, err = cand.usage(); return err }
	res, err := l.run()
	if err != nil {
		return res, err
	}
	calls := float64(res.calls)
	if cand.port != 0 {
		c.say(cand, bench, "cpu_us_per_request", "us", micros(after.cpu-before.cpu)/calls)
	}
	rate := calls / res.elapsed.Seconds()
	c.say(cand, bench, "requests_per_second", "1/s", rate)
	if cand.name == "haproxy" || c.half[bench] == 0 {
		c.half[bench] = rate / 2
	}
	if cand.mallocs != nil {
		c.say(cand, bench, "allocs_per_request", "1", float64(after.mallocs-before.mallocs)/calls)
	}
	return res, nil
}

func (c *conductor) warmUp() time.Duration { return max(c.duration/5, leastWarmUp) }

// faultless is costed for loads of which no call may fail.
func (c *conductor) faultless(cand *candidate, bench string, l load) (loadResult, error) {
	res, err := c.costed(cand, bench, l)
	if err == nil && res.failed > 0 {
		err = fmt.Errorf("%d of %d calls failed", res.failed, res.calls)
	}
	return res, err
}

func (c *conductor) keepalive(cand *candidate) error {
	_, err := c.faultless(cand, "http1-keepalive", keepalive)
	return err
}

// severalCores has four pods call one destination through a proxy that may use several cores.
func (c *conductor) severalCores(cand *candidate) error {
	_, err := c.faultless(cand, "http1-several-cores", load{path: "/", conns: 4 * connections, pods: benchPods})
	return err
}

// severalCoresPosts and severalCoresFresh are posts and newConnections of four pods.
func (c *conductor) severalCoresPosts(cand *candidate) error {
	_, err := c.faultless(cand, "http1-several-cores-post", load{path: "/", conns: 4 * connections, pods: benchPods, body: 1 << 10})
	return err
}

func (c *conductor) severalCoresFresh(cand *candidate) error {
	_, err := c.costed(cand, "http1-several-cores-new-connections", load{path: "/", conns: 16, pods: benchPods, fresh: true})
	return err
}

// posts sends a body of 1 KB with every call.
func (c *conductor) posts(cand *candidate) error {
	_, err := c.faultless(cand, "http1-post", load{path: "/", conns: connections, body: 1 << 10})
	return err
}

func (c *conductor) newConnections(cand *candidate) error {
	_, err := c.costed(cand, "http1-new-connections", load{path: "/", conns: 16, fresh: true})
	return err
}

func (c *conductor) megabytes(cand *candidate) error {
	_, err := c.costed(cand, "http1-1mib", load{path: "/mb", conns: 8})
	return err
}

func (c *conductor) retries(cand *candidate) error {
	res, err := c.costed(cand, "http1-retries", load{path: "/fail10", conns: connections})
	if err == nil {
		c.say(cand, "http1-retries", "success_percent", "%", 100*float64(res.calls-res.failed)/float64(res.calls))
	}
	return err
}

func (c *conductor) constantRate(cand *candidate) error {
	return c.atRate(cand, "http1-constant-rate", "http1-keepalive", keepalive)
}

// atRate measures latencies at half of what haproxy reached in another measure. A 99th percentile of the whole is made by a handful of stalls
// of the machine; the median of those of slices of 100 ms is what callers see at most times.
func (c *conductor) atRate(cand *candidate, bench, most string, l load) error {
	if l.rate = c.half[most]; l.rate == 0 {
		return fmt.Errorf("%s needs %s before it", bench, most)
	}
	l.duration, l.warm = c.duration, c.warmUp()
	res, err := l.run()
	if err == nil && res.failed > 0 {
		err = fmt.Errorf("%d of %d calls failed", res.failed, res.calls)
	}
	if err != nil {
		return err
	}
	c.say(cand, bench, "p50_us", "us", micros(res.latencies.quantile(0.5)))
	c.say(cand, bench, "p99_us", "us", micros(res.latencies.quantile(0.99)))
	c.say(cand, bench, "slice_p99_us", "us", micros(res.sliceQuantile(0.99)))
	return nil
}

func (c *conductor) oneConnection(cand *candidate) error {
	res, err := load{path: "/", conns: 1, duration: c.duration / 2, warm: c.warmUp()}.run()
	if err != nil {
		return err
	}
	c.say(cand, "http1-one-connection", "p50_us", "us", micros(res.latencies.quantile(0.5)))
	c.say(cand, "http1-one-connection", "p99_us", "us", micros(res.latencies.quantile(0.99)))
	return nil
}

// idle measures what an open, idle, captured connection costs.
func (c *conductor) idle(cand *candidate) error {
	return c.idling(cand, "idle-connections", load{path: "/"})
}

func (c *conductor) idleWebSockets(cand *candidate) error {
	if cand.name == "nginx" { // which is not set up for them
		return nil
	}
	return c.idling(cand, "idle-websockets", load{path: "/websocket", upgrade: true})
}

func (c *conductor) idling(cand *candidate, bench string, l load) error {
	if cand.port == 0 {
		return nil
	}
	// Programs and their buffers are in memory once they were used.
	if _, err := (load{path: "/", conns: 8, duration: leastWarmUp}).run(); err != nil {
		return err
	}
	before, err := cand.idleMemory()
	if err != nil {
		return err
	}
	n := idleConnections
	if cand.name == "fairlead-nomatch" || l.upgrade {
		n = idleTunnels
	}
	closeAll, err := idle(l, n)
	if err != nil {
		return err
	}
	defer closeAll()
	after, err := cand.idleMemory()
	if err != nil {
		return err
	}
	c.say(cand, bench, "bytes_per_idle_connection", "B", float64(after-before)/float64(n))
	c.say(cand, bench, "resident_mib", "MiB", float64(after)/(1<<20))
	return nil
}
