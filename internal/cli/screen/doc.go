// Package screen is what the terminal views of kubectl fairlead have in common: a list with a selection, a filter, and details of what is selected,
// and how a view is run on a terminal and takes its leave of it.
//
// What a view shows comes from a cluster. It is escaped here, so that nothing in a cluster moves the cursor or changes colours.
package screen
