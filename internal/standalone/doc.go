// Package standalone is fairlead's data plane for one command on one machine, without a cluster: it puts together what compiles policies (the
// manager's) and what enforces them (the agent's).
//
// It decides nothing itself, and knows nothing of how the command is run.
package standalone
