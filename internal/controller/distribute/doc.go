// Package distribute is the hatch between the manager and its agents: it keeps the compiled policy in encoded form, streams to
// every agent what concerns its node, remembers who acknowledged what, and sums the agents' reports.
//
// How the controller uses it:
//
//	store := distribute.NewStore(distribute.StoreOptions{Notify: enqueue})  // enqueue(profile names whose rollout changed)
//	server, err := distribute.NewServer(distribute.ServerOptions{Store: store, Authenticator: auth, Certificate: ca.Certificate})
//	go server.Run(ctx, listener)             // on every replica; answers Unavailable while the gate is shut
//
//	var b distribute.Batch                   // a change, however large, reaches agents as one
//	b.SetProfile(profile)
//	b.SetWorkload("node-1", workload)
//	b.RemoveDestination("shop/old")
//	err := store.Publish(&b)
//
//	store.Gate().Open()                      // on the leader, after its first complete compilation was published
//	rollout := store.Rollout("profile-a", "profile-b")
//	figures := store.Traffic(policyID)
//
// It must not read the API server's policy objects, nor decide which policy applies to what.
package distribute
