// Command release makes everything that a release of fairlead has: programs, images, SBOMs, manifests, charts and their checksums. What is made
// of the same tree is the same, byte for byte; see the usage text.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
)

const usage = `usage: release -version 1.2.3 [-registry REGISTRY] [-downloads URL] [-tree DIR] [-out DIR]

writes to DIR/1.2.3:

  bin/                 programs, by platform
  images/              OCI archives, each for linux/amd64 and linux/arm64, and their sizes
  sbom/                the components of each program (CycloneDX)
  krew/                the plugin of kubectl for Krew: archives and manifest
  install.yaml         all that kubectl apply needs
  fairlead-1.2.3.tgz   the Helm charts
  fairlead-crds-1.2.3.tgz
  checksums.txt        for sha256sum -c

release -images -version 1.2.3 [-registry REGISTRY] [-tree DIR]

has config/release of the tree name the images of that release, to be committed and tagged before it is made
`

// semver is what Helm takes for a version.
var semver = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$`)

func main() {
	log.SetFlags(log.Ltime)
	var r release
	flags := flag.NewFlagSet("release", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	flags.StringVar(&r.version, "version", "", "")
	flags.StringVar(&r.registry, "registry", "fairlead.dev", "")
	flags.StringVar(&r.downloads, "downloads", "https://fairlead.dev/releases", "")
	flags.StringVar(&r.tree, "tree", ".", "")
	out := flags.String("out", "dist", "")
	onlyImages := flags.Bool("images", false, "")
	flags.Parse(os.Args[1:])
	if !semver.MatchString(r.version) {
		log.Fatalf("release: version %q: write three numbers, as 1.2.3 or 1.2.3-rc.1", r.version)
	}
	if *onlyImages {
		if err := r.stamp(); err != nil {
			log.Fatal("release: ", err)
		}
		return
	}
	r.out = filepath.Join(*out, r.version)
	if err := r.make(); err != nil {
		log.Fatal("release: ", err)
	}
	log.Printf("%s is complete", r.out)
}
