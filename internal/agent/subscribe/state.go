package subscribe

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/wire"
)

// Source says where the policy in force came from.
type Source string

// The sources.
const (
	SourceNone    Source = ""
	SourceDisk    Source = "disk"
	SourceManager Source = "manager"
)

// State is what a Client knows of itself, for readiness and debugging.
type State struct {
	// Connected says that a manager serves this agent now, Manager which.
	Connected bool
	Manager   string
	// Changed is when Connected last changed.
	Changed time.Time
	// LastError is why there is no connection.
	LastError string
	// Source is where the policy in force came from; SourceNone until any is in force. An agent is ready when it is not
	// SourceNone, connected or not.
	Source    Source
	AppliedAt time.Time
	// Updates counts updates applied since the start.
	Updates uint64
	// Refused are the resources that could not be applied in their newest version, sorted.
	Refused []wire.Rejection
	// Version names the whole set in force: equal sets have equal versions.
	Version string

	Workloads, Profiles, Destinations int
}

// State returns the current state.
func (c *Client) State() State {
	c.mu.Lock()
	s := c.state
	s.Refused = slices.SortedFunc(maps.Values(c.refused), func(a, b wire.Rejection) int { return a.Ref.Compare(b.Ref) })
	c.mu.Unlock()
	held := c.current.Load()
	s.Version = held.version()
	s.Workloads, s.Profiles, s.Destinations = len(held.snapshot.Workloads), len(held.snapshot.Profiles), len(held.snapshot.Destinations)
	return s
}

func (s *set) version() string {
	h := sha256.New()
	for _, r := range s.list() {
		h.Write([]byte(r.Ref.String()))
		h.Write(r.Version[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// install publishes the set in force after u. It forgets the refusals of what u replaced.
func (c *Client) install(s *set, from Source, u wire.Update, refused []wire.Rejection) {
	c.current.Store(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Source, c.state.AppliedAt = from, time.Now()
	c.state.Updates++
	for _, ref := range u.Removed {
		delete(c.refused, ref)
	}
	for _, r := range u.Set {
		delete(c.refused, r.Ref)
	}
	for _, r := range refused {
		c.refused[r.Ref] = r
	}
}

func (c *Client) connected(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Connected, c.state.Manager, c.state.Changed, c.state.LastError = true, address, time.Now(), ""
}

func (c *Client) disconnected(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Connected {
		c.state.Changed = time.Now()
	}
	c.state.Connected, c.state.Manager, c.state.LastError = false, "", err.Error()
}
