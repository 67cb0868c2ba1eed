package pods

import "time"

// OnlyWhenHinted has a Watcher ask the runtime at its start and when Hurry asks it to, and not by itself.
func (o Options) OnlyWhenHinted() Options {
	o.soon, o.late = time.Hour, time.Hour
	return o
}
