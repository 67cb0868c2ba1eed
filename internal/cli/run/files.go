package run

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/standalone/policies"
)

// maxFile bounds a file of policies: what is larger is something else.
const maxFile = 8 << 20

// readFiles reads the files that are named, and those of folders that are.
func readFiles(names []string) ([]policies.File, error) {
	var out []policies.File
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("-f %s: %w", name, bare(err))
		}
		all := []string{name}
		if info.IsDir() {
			if all, err = inFolder(name); err != nil {
				return nil, err
			}
		}
		for _, file := range all {
			text, err := readFile(file)
			if err != nil {
				return nil, fmt.Errorf("-f %s: %w", file, bare(err))
			}
			out = append(out, policies.File{Name: file, Text: text})
		}
	}
	return out, nil
}

// editable reports whether files can be read again: not pipes, such as those of <(command), which have their content once.
func editable(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && !info.Mode().IsRegular() && !info.IsDir()
	})
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxFile {
		return nil, fmt.Errorf("%d bytes are too many for policies", info.Size())
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// inFolder lists the files of resources in a folder, as kubectl does: not those of folders below it.
func inFolder(folder string) (all []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("-f %s: %w", folder, bare(err))
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".yaml", ".yml", ".json":
			all = append(all, filepath.Join(folder, e.Name()))
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("-f %s: the folder has no file with .yaml, .yml or .json", folder)
	}
	return all, nil
}

// bare takes the path off an error, which is said already.
func bare(err error) error {
	if p, ok := err.(*fs.PathError); ok { //nolint:errorlint // it comes bare
		return p.Err
	}
	return err
}

// read reads the policies.
func (o *Options) read(services []policies.Service) (files []policies.File, set *policies.Set, problems []string) {
	files, err := readFiles(o.Files)
	if err != nil {
		return nil, nil, []string{err.Error()}
	}
	set, problems = policies.Read(files, policies.Options{
		Namespace: o.Namespace, Labels: o.Labels, Command: filepath.Base(o.Command[0]), Services: services, Validate: o.Validate, Now: time.Now(),
	})
	return files, set, problems
}

// same reports whether files are as they were.
func same(a, b []policies.File) bool {
	return slices.EqualFunc(a, b, func(x, y policies.File) bool { return x.Name == y.Name && bytes.Equal(x.Text, y.Text) })
}
