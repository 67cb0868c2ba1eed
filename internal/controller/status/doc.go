// Package status works out the status of a policy: conditions, counts and figures of traffic, from what the index knows of the policy and
// what agents reported. It is pure: it must not hold clients, clocks, loggers or state. The same arguments give the same status, byte for byte.
package status
