// Package ca is the manager's own certificate authority: agents trust its bundle, and every replica issues itself serving
// certificates from it.
//
// The authorities are kept in a Secret that all replicas share, their certificates alone in a ConfigMap that agents mount. Which
// authority signs follows from the certificates' dates, so replicas agree without talking. A new authority is published
// for a while before it signs, and an old one stays published until it expires: whoever read the bundle a little earlier or
// later still trusts what is served.
//
// It must not know about streams or policies.
package ca
