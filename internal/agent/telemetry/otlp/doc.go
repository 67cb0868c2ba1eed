// Package otlp has what exporters to an OpenTelemetry collector (OTLP) have in common: the variables of the environment that describe the collector, and
// batches that are sent while calls go on. It must not hold up a call.
package otlp
