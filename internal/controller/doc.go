// Package controller is the manager's part that talks to the API server: it reads policies and what they govern, has them compiled and
// distributed, and writes the policies' status. It is the only writer to the API server and must not know how agents work.
//
// Changes go one way. A watch enqueues an object's key; the objectReconciler reads the object from the cache and sets it in the index, which
// works out what that changes; the compiler compiles the profiles concerned and publishes all changes to agents as one batch. The
// statusReconciler writes status; the compiler and the agents' acknowledgements enqueue the policies that it has to look at.
package controller
