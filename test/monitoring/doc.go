// Package monitoring holds the rules and dashboards of config/monitoring to what they claim: Prometheus' own tool checks the rules and each alert,
// runbooks exist, and so does every metric that they name. Other tests take from it a Prometheus that runs, and the queries of the dashboards.
package monitoring
