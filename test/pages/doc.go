// Package pages reads the commands that the docs show, so that tests can run them: each command of a block marked sh, and each line of a block marked text that
// begins with a dollar. What test/e2e does not run is listed, with the reason.
package pages
