// Package drive holds what every protocol's driver does for a call: it places attempts on connections of the upstream pool, waits
// between them, keeps request bodies for another attempt, watches whether the client is still there, and reports to recorders.
//
// The driver of a protocol embeds Exchange and implements Protocol. The package must not read or write a message, decide what
// follows from a failure (that is call's), or keep state beyond an exchange and its client.
//
// Run carries one attempt at a time, on the exchange's own route or on the one that its call falls back on. Those beside it (hedges) are the drivers'
// own, on connections of AcquireBeside.
package drive
