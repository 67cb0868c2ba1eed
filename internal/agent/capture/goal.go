package capture

// mode is what a podCapture is asked to do, in order of finality: nothing is taken back from stopping on.
type mode uint8

const (
	capturing mode = iota // redirect, accept, keep the lease
	retiring              // no policy any more: redirect no more, let connections end, leave nothing behind
	stopping              // the agent stops: the same, but for another agent or a pod that fails closed the redirect stays
	aborting              // time is up: end connections too
	ended                 // the pod is gone
)

// goal is what a podCapture is to reach.
type goal struct {
	mode     mode
	spec     PodSpec
	revision uint64
	changed  uint64 // the revision in which it became what it is; set by setGoal
}

// same reports whether nothing has to be done for g that is not done for o.
func (g *goal) same(o *goal) bool { return g.mode == o.mode && g.spec.Redirect.Equal(o.spec.Redirect) }

// setGoal changes the goal, unless the old one is more final. A podCapture that has reached the same goal already is not woken.
func (p *podCapture) setGoal(g goal) {
	if !p.replaceGoal(g) {
		p.wake()
	}
}

// replaceGoal changes the goal, and reports whether that leaves nothing to do.
func (p *podCapture) replaceGoal(g goal) (done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.goal.mode >= stopping && g.mode < p.goal.mode {
		return false
	}
	done = p.goal.same(&g) && p.status.reached >= p.goal.revision
	g.changed = g.revision
	if p.goal.same(&g) {
		g.changed = p.goal.changed
	}
	if done {
		p.status.reached = g.revision
	}
	p.goal = g
	return done
}

func (p *podCapture) setMode(next mode) {
	g := p.currentGoal()
	g.mode = next
	p.setGoal(g)
}

func (p *podCapture) currentGoal() goal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.goal
}

// reached reports whether the goal has been reached, or is known to have failed.
func (p *podCapture) reached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status.reached >= p.goal.revision
}

// mustServe says that calls of the pod would be refused if it were not captured any more.
func (p *podCapture) mustServe() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.goal.mode == capturing && p.goal.spec.Redirect.FailClosed && p.status.captured && !p.status.superseded
}
