// Package nft redirects a pod's new TCP connections with one nftables table, named fairlead, inside the pod's network namespace.
//
// It must not open listeners, know about pods or policies, or change anything but its own table. Connections that exist when the
// table comes keep flowing as they did: only connection requests are looked at. Connections that were redirected keep flowing
// when the redirecting ends, as long as the table stays: it is what has the kernel track them (see Table.Pass).
package nft
