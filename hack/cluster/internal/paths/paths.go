// Package paths says where things are kept, after the XDG base directory specification. It makes
// no files.
package paths

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// module is the main module's path; its go.mod marks the root of the checkout.
const module = "fairlead.dev/fairlead"

// Cache is the directory for what can be made again.
func Cache() (string, error) { return base("XDG_CACHE_HOME", ".cache") }

// State is the directory for what exists only while a cluster does.
func State() (string, error) { return base("XDG_STATE_HOME", ".local/state") }

func base(variable, fallback string) (string, error) {
	dir := os.Getenv(variable)
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("set %s: %w", variable, err)
		}
		dir = filepath.Join(home, fallback)
	}
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%s must be an absolute path, not %q", variable, dir)
	}
	return filepath.Join(dir, "fairlead"), nil
}

// Root finds the root of the checkout, from the working directory upwards.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		ours, err := declares(filepath.Join(dir, "go.mod"), module)
		if err != nil {
			return "", err
		}
		if ours {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("the working directory is not inside a checkout of %s", module)
		}
		dir = parent
	}
}

// declares reports whether the go.mod file exists and declares the module.
func declares(file, module string) (bool, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.TrimSpace(name) == module, nil
		}
	}
	return false, lines.Err()
}
