// Package assets is the dashboard's bundle, as npm has built it from web/.
package assets

import (
	"embed"
	"io/fs"
)

//go:embed dist
var files embed.FS

// Files are the files of the bundle: index.html, and what it refers to.
func Files() (fs.FS, error) { return fs.Sub(files, "dist") }
