// Package controller is the manager's office: it reads policies and cluster facts from the API server, has them compiled and
// distributed, and answers on the policies' status. It is the only writer to the API server and must not know how agents work.
//
// Facts go one way. A watch names an object, the desk reads it from the cache and tells the index, the index works out what that
// changes, and the changes are published to agents as one batch. The clerk writes status, told by the index and by the agents'
// acknowledgements which policies to look at.
package controller
