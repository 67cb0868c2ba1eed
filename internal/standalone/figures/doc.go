// Package figures sums up what policies have done for a command, and writes it as a table.
package figures
