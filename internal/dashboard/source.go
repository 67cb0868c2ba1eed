package dashboard

import (
	"context"
	"net/url"
	"time"

	"fairlead.dev/fairlead/internal/dashboard/model"
	"fairlead.dev/fairlead/internal/liveapi"
)

// Source is what the pages are answered from. It is safe for concurrent use. What it returns is not changed after that. Errors are sentences for people.
type Source interface {
	Cluster(ctx context.Context) (*model.Cluster, error)
	Overview(ctx context.Context, q OverviewQuery) (*model.Overview, error)
	Policies(ctx context.Context) (*model.Policies, error)
	Policy(ctx context.Context, name string, since time.Duration) (*model.Policy, error)
	Destination(ctx context.Context, name string, since time.Duration) (*model.Destination, error)
	Changes(ctx context.Context, q ChangesQuery) (*model.Changes, error)
	Breakers(ctx context.Context) (*model.Breakers, error)
	Nodes(ctx context.Context) (*model.Nodes, error)
	Problems(ctx context.Context) (*model.Problems, error)
	// Watch calls changed when something has, until ctx ends.
	Watch(ctx context.Context, changed func(...model.Topic))
	// Calls calls each with the lines of a tap, one at a time, until ctx ends, also when agents are replaced. Troubles is called, not at the same time, with
	// why what cannot be read is not, all of it: once when it is known what there is to read, and whenever that changes. An error is about the query.
	Calls(ctx context.Context, q url.Values, each func(*liveapi.TapLine), troubles func([]string)) error
}

// OverviewQuery are the parameters of an overview.
type OverviewQuery struct {
	Since                                    time.Duration
	Namespace, Workload, Policy, Destination string
	Limit                                    int
}

// ChangesQuery are the parameters of the changes.
type ChangesQuery struct {
	Since              time.Duration
	Policy, Node, Kind string
	Limit              int
}

// NotFoundError is about something that there is not.
type NotFoundError struct{ Err error }

// Error implements error.
func (e *NotFoundError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *NotFoundError) Unwrap() error { return e.Err }
