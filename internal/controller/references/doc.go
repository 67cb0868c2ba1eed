// Package references reads the objects that policies refer to: ConfigMaps, Secrets and ClusterTrustBundles.
//
// It watches each of them by its name and nothing else, as the kubelet does for the Secrets of its pods. So the manager needs rights to no
// object that no policy refers to, and a namespace may grant them for single names. Objects are read from when Require is called until no
// policy refers to them any more, on the replica that leads.
//
// It must not know what the objects are for, and must log nothing of what they hold.
package references
