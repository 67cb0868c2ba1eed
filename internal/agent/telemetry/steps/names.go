package steps

import (
	"fairlead.dev/fairlead/internal/agent/call"
	"fairlead.dev/fairlead/internal/agent/upstream"
	"fairlead.dev/fairlead/internal/liveapi"
)

// upstreamChoice is what a step of Chosen has.
type upstreamChoice = upstream.Choice

// named is how the live API shows a kind of step.
type named struct{ step, result string }

// names are those of all kinds. The table is never written to.
var names = [call.WhatCount]named{
	call.Begins:         {liveapi.StepBegins, ""},
	call.GatePassed:     {liveapi.StepLimit, "passes"},
	call.GateWaits:      {liveapi.StepLimit, "waits"},
	call.GateRefuses:    {liveapi.StepLimit, "refused"},
	call.BreakerAllows:  {liveapi.StepBreaker, "passes"},
	call.BreakerRefuses: {liveapi.StepBreaker, "refused"},
	call.BudgetRefuses:  {liveapi.StepBudget, "refused"},
	call.Starts:         {liveapi.StepAttempt, ""},
	call.Faulted:        {liveapi.StepFault, ""},
	call.Placed:         {liveapi.StepPlaced, ""},
	call.Unplaced:       {liveapi.StepHedge, "unplaced"},
	call.Sent:           {liveapi.StepSent, ""},
	call.Interim:        {liveapi.StepInterim, ""},
	call.Held:           {liveapi.StepHeld, ""},
	call.Judged:         {liveapi.StepJudged, ""},
	call.Decided:        {liveapi.StepDecision, ""},
	call.HedgeDue:       {liveapi.StepHedge, "due"},
	call.NoHedge:        {liveapi.StepHedge, "refused"},
	call.Dismissed:      {liveapi.StepDismissed, ""},
	call.FallsBack:      {liveapi.StepFallback, ""},
	call.Ends:           {liveapi.StepAnswer, ""},
	call.Finishes:       {liveapi.StepFinished, ""},
	call.LooksUp:        {liveapi.StepLookup, ""},
	call.Queued:         {liveapi.StepQueue, ""},
	call.Chosen:         {liveapi.StepChosen, ""},
	call.Connected:      {liveapi.StepConnected, ""},
	call.Ended:          {liveapi.StepEnded, ""},
}

func name(w call.What) named { return names[min(w, call.WhatCount-1)] }

// classes name those of methods. The table is never written to.
var classes = map[call.Method]string{call.Safe: "safe", call.Idempotent: "idempotent", call.Unsafe: "unsafe"}
