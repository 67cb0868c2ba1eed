package controller

import (
	"maps"
	"slices"
	"time"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/changes"
	"fairlead.dev/fairlead/internal/controller/distribute"
	"fairlead.dev/fairlead/internal/controller/index"
	"fairlead.dev/fairlead/internal/controller/status"
	"fairlead.dev/fairlead/internal/liveapi"
	"fairlead.dev/fairlead/internal/policy"
)

// openings notes as changes when breakers of each of a policy's destinations open and close, where Events, of which there are few, are about the policy.
// A breaker has closed when its agent, or the next one on its node, reports so. One that is not there any more is gone.
type openings struct {
	seeded    bool
	inherited bool // the status showed open breakers at the first observation
	of        map[string]opening
}

// opening is how a destination's breakers were at the last observation.
type opening struct {
	open     int // half-open ones too
	closings uint64
	set      bool // policies set breakers for the destination, or did while these were open
}

// observe notes what has changed. What the status said when the policy was seen first is no change.
func (w *openings) observe(log *changes.Log, at time.Time, v *index.View, base *v1alpha1.PolicyStatus, reports *status.Reports) {
	f := &reports.Figures
	if !w.seeded {
		w.seeded, w.of = true, map[string]opening{}
		w.inherited = base.Traffic != nil && base.Traffic.BreakersOpen+base.Traffic.BreakersHalfOpen > 0
	}
	if v.Incomplete {
		return // what is reported under a profile that is not compiled yet is not there, and is not gone
	}
	all := breakersOf(f)
	w.forget(log, at, v.ID, all)
	if f.AsOf.IsZero() {
		return // agents have not come back yet
	}
	for _, target := range slices.Sorted(maps.Keys(all)) {
		b := all[target]
		was, now := w.of[target], opening{open: b.Open + b.HalfOpen, closings: b.Closings}
		_, set := v.Breakers[target]
		now.set = set || was.open > 0 && was.set
		if now.open == 0 && b.Lost > 0 {
			continue // whether it has closed is not known yet
		}
		w.of[target] = now
		change := liveapi.Change{At: at, Policy: v.ID.String(), Target: target}
		switch {
		case w.inherited && reports.KnownFor < inheritedGrace:
			continue
		case was.open == 0 && now.open > 0:
			change.Kind, change.Note = eventBreakerOpened, "A circuit breaker opened for "+target+"."
		case was.open > 0 && now.open == 0 && now.closings > was.closings && now.set == set:
			change.Kind, change.Note = eventBreakerClosed, "All circuit breakers for "+target+" are closed again."
		case was.open > 0 && now.open == 0:
			change = gone(change)
		default:
			continue
		}
		log.Add(change)
	}
}

// breakersOf are the breakers by destination: calls to one may be counted under several of the policies that are merged.
func breakersOf(f *distribute.Figures) map[string]distribute.Breakers {
	all := map[string]distribute.Breakers{}
	for i := range f.Targets {
		all[f.Targets[i].Target] = all[f.Targets[i].Target].Plus(f.Targets[i].Breakers)
	}
	return all
}

// forget notes which open breakers are gone since the policy has their destination no more, or no pods.
func (w *openings) forget(log *changes.Log, at time.Time, id policy.ID, but map[string]distribute.Breakers) {
	for _, target := range slices.Sorted(maps.Keys(w.of)) {
		if _, stays := but[target]; stays {
			continue
		}
		if w.of[target].open > 0 {
			log.Add(gone(liveapi.Change{At: at, Policy: id.String(), Target: target}))
		}
		delete(w.of, target)
	}
}

func gone(c liveapi.Change) liveapi.Change {
	c.Kind, c.Note = changes.BreakerGone, "The last circuit breaker that was open for "+c.Target+" is gone: an edit has removed it, or its pods or its agent are not there any more."
	return c
}
