package upstream

import "fairlead.dev/fairlead/internal/policy"

// picker chooses among candidates. Pickers are stateless: what they go by is kept by hosts and pools.
type picker interface {
	// pick returns a candidate that was admitted, or nil when none can be.
	pick(c *candidates) *hostConns
}

// pickerOf returns what chooses as b says; nil where the choice is left to the cluster behind the address that the client called.
func pickerOf(b Balancing) picker {
	if b.Affinity > 0 && b.Policy != policy.ClusterIP {
		return keptHost{b.Affinity}
	}
	switch b.Policy {
	case policy.RoundRobin:
		return roundRobin{}
	case policy.RandomEndpoint:
		return randomHost{}
	case policy.LeastRequest:
		return leastRequest{}
	case policy.ClusterIP:
		return nil
	}
	return leastRequest{}
}

var (
	_ picker = roundRobin{}
	_ picker = randomHost{}
	_ picker = leastRequest{}
	_ picker = keptHost{}
)

// roundRobin takes one after the other.
type roundRobin struct{}

func (roundRobin) pick(c *candidates) *hostConns {
	hc, i := c.firstFrom(*c.cursor + 1)
	if hc != nil {
		*c.cursor = i
	}
	return hc
}

// draws is how often a host is drawn at random before the first that can be admitted is taken: those behind hosts that cannot would have
// their calls too.
const draws = 4

// randomHost takes any host.
type randomHost struct{}

func (randomHost) pick(c *candidates) *hostConns {
	n := uint64(len(c.hosts))
	for range draws {
		if hc := c.admit(c.hosts[c.pool.random()%n]); hc != nil {
			return hc
		}
	}
	hc, _ := c.firstFrom(int(c.pool.random() % n))
	return hc
}

// leastRequest takes the less busy of two hosts drawn at random: nearly as good as the least busy of all, without all of a node choosing the same.
type leastRequest struct{}

func (leastRequest) pick(c *candidates) *hostConns {
	n := uint64(len(c.hosts))
	if n == 1 {
		return c.admit(c.hosts[0])
	}
	for range draws {
		r := c.pool.random()
		i := (r >> 32) % n
		j := (i + 1 + (r&0xffffffff)%(n-1)) % n
		a, b := c.hosts[i], c.hosts[j]
		if b.load(c.now) < a.load(c.now) {
			a, b = b, a
		}
		if hc := c.admit(a); hc != nil {
			return hc
		}
		if hc := c.admit(b); hc != nil {
			return hc
		}
	}
	hc, _ := c.firstFrom(int(c.pool.random() % n))
	return hc
}
