// Package charts renders and packages the Helm charts of the tree.
package charts

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"fairlead.dev/fairlead/hack/release/internal/objects"
)

// Names of the charts, which are folders of charts/.
const (
	Main = "fairlead"
	CRDs = "fairlead-crds"
)

// Render returns the objects that a release of the chart at a path, a folder or an archive, has, in the order of their templates. What is wrong with values is said as helm says it.
func Render(at, namespace string, values map[string]any) ([]*unstructured.Unstructured, error) {
	c, err := loader.Load(at)
	if err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: c.Name(), Namespace: namespace, IsInstall: true, Revision: 1}
	all, err := util.ToRenderValues(c, values, release, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".yaml" {
			continue
		}
		parsed, err := objects.Parse([]byte(files[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, parsed...)
	}
	return out, nil
}

// Version is what a chart is packaged as.
type Version struct {
	Version  string            // of chart and program, as 1.2.3
	Registry string            // that the images are in; as in the tree if empty
	Digests  map[string]string // of the images, by the name of their component
}

// treeRegistry is where values.yaml says that images come from.
const treeRegistry = "registry: fairlead.dev\n"

// Package writes the chart in dir as an archive into out, and returns the archive's path. The same files give the same archive.
func Package(dir, out string, v Version) (string, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return "", err
	}
	c.Metadata.Version, c.Metadata.AppVersion = v.Version, v.Version
	for component, digest := range v.Digests {
		if c.Metadata.Annotations == nil {
			c.Metadata.Annotations = map[string]string{}
		}
		c.Metadata.Annotations["fairlead.dev/"+component+"-digest"] = digest
	}
	if v.Registry != "" {
		if err := setRegistry(c, v.Registry); err != nil {
			return "", err
		}
	}
	fixTimes(c)
	return chartutil.Save(c, out)
}

// setRegistry replaces the default of image.registry in a chart's values.yaml.
func setRegistry(c *chart.Chart, registry string) error {
	i := slices.IndexFunc(c.Raw, func(f *common.File) bool { return f.Name == chartutil.ValuesfileName })
	if i < 0 || strings.Count(string(c.Raw[i].Data), treeRegistry) != 1 {
		return fmt.Errorf("values.yaml of %s has no line %q", c.Name(), strings.TrimSpace(treeRegistry))
	}
	c.Raw[i].Data = []byte(strings.Replace(string(c.Raw[i].Data), treeRegistry, "registry: "+registry+"\n", 1))
	return nil
}

// fixTimes has all files be of one time, and stand in one order, whenever and wherever they were checked out.
func fixTimes(c *chart.Chart) {
	epoch := time.Unix(0, 0).UTC()
	c.ModTime, c.SchemaModTime = epoch, epoch
	for _, files := range [][]*common.File{c.Raw, c.Templates, c.Files} {
		for _, f := range files {
			f.ModTime = epoch
		}
		slices.SortFunc(files, func(a, b *common.File) int { return strings.Compare(a.Name, b.Name) })
	}
}
