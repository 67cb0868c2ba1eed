package main

import (
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// heapPercent is the share of its memory that the manager gives to the heap: see cmd/manager.
const heapPercent = 85

// deployedHeap returns how large a heap the manager allows itself when it runs as the Deployment says. Here nothing limits its memory.
func deployedHeap(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict(text, &d); err != nil {
		return 0, fmt.Errorf("read %s: %w", file, err)
	}
	return d.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().Value() / 100 * heapPercent, nil
}
