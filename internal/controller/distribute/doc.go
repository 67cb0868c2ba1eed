// Package distribute is the hatch between the manager and its agents: it keeps the compiled policy in encoded form, streams to
// every agent what concerns its node, remembers who acknowledged what, and sums the agents' reports.
//
// How the controller uses it:
//
//	keeper, err := ca.New(ca.Options{Vault: &ca.Cluster{…}, DNSNames: names})
//	auth, err := distribute.NewTokenReviewer(distribute.TokenReviewOptions{Client: c, Audience: "fairlead-manager", …})
//	store := distribute.NewStore(distribute.StoreOptions{Notify: enqueue})  // enqueue(profile names whose rollout changed)
//	server, err := distribute.NewServer(distribute.ServerOptions{Store: store, Authenticator: auth, Certificate: keeper.Certificate})
//	keeper.Run(ctx)                          // both on every replica, also on those that do not lead;
//	server.Run(ctx, listener)                // answers Unavailable while the gate is shut
//
//	var b distribute.Batch                   // a change, however large, reaches agents as one
//	b.SetProfile(profile, policies...)
//	b.SetWorkload("node-1", workload)
//	b.RemoveDestination("shop/old")
//	err := store.Publish(&b)
//
//	store.Gate().Open()                      // on the leader, after its first complete compilation was published; Shut when it ends
//	rollout := store.Rollout(policyID)
//	figures := store.Traffic(policyID)
//
// It must not read the API server's policy objects, nor decide which policy applies to what.
package distribute
