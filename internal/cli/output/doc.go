// Package output prints what commands of kubectl fairlead have found: as tables, as names, as JSON and YAML.
//
// What it prints comes from a cluster, where others choose names, labels and messages. A Writer shows control characters instead of sending them to
// the terminal, so that nothing in a cluster moves the cursor, changes colours or hides lines.
package output
