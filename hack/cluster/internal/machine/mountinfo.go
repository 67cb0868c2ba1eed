package machine

import (
	"os"
	"strings"
)

// mount is one line of /proc/self/mountinfo (proc(5)).
type mount struct {
	point   string
	fsType  string
	options []string // of the superblock
}

func readMounts() ([]mount, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(b)), nil
}

// parseMounts reads lines such as
//
//	33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
//
// The number of fields before the hyphen varies; those after it are three.
func parseMounts(text string) []mount {
	var out []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		head, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(head) < 6 || len(tail) < 3 {
			continue
		}
		out = append(out, mount{
			point:   unescapeMountPath(head[4]),
			fsType:  tail[0],
			options: strings.Split(tail[2], ","),
		})
	}
	return out
}

var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescapeMountPath(s string) string { return mountEscapes.Replace(s) }
