// Package distribute serves compiled policy to agents: it keeps it in encoded form, streams to every agent what concerns its node, records
// which agent acknowledged what, and sums the agents' traffic reports.
//
// How the controller uses it:
//
//	certificates, err := ca.New(ca.Options{Storage: &ca.Cluster{…}, DNSNames: names})
//	auth, err := distribute.NewTokenReviewer(distribute.TokenReviewOptions{Client: c, Audience: "fairlead-manager", …})
//	store := distribute.NewStore(distribute.StoreOptions{Notify: enqueue})  // enqueue(names of profiles whose rollout changed)
//	server, err := distribute.NewServer(distribute.ServerOptions{Store: store, Authenticator: auth, Certificate: certificates.Certificate})
//	certificates.Run(ctx)                    // both on every replica, also on those that do not lead;
//	server.Run(ctx, listener)                // closes connections while the store is not serving
//
//	var b distribute.Batch                   // a change, however large, reaches agents as one
//	b.SetProfile(profile, policies...)
//	b.SetWorkload("node-1", workload)
//	b.RemoveDestination("shop/old")
//	err := store.Publish(&b)
//
//	store.Serving().Start()                  // on the leader, after its first complete compilation was published; Stop when it ends
//	rollout := store.Rollout(policyID)
//	figures := store.Traffic(policyID)
//
// It must not read the API server's policy objects, nor decide which policy applies to what.
package distribute
