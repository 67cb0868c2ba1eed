package main

import (
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// The heap follows the limit of memory, so that raising that is all that a large cluster needs.
func TestTheDeploymentLimitsMemoryInOnePlace(t *testing.T) {
	text, err := os.ReadFile("../../config/manager/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict(text, &d); err != nil {
		t.Fatal(err)
	}
	c := d.Spec.Template.Spec.Containers[0]
	if c.Resources.Limits.Memory().IsZero() {
		t.Error("memory is not limited")
	}
	for _, v := range c.Env {
		if v.Name == "GOMEMLIMIT" {
			t.Error("GOMEMLIMIT is set: it would not follow the limit of memory")
		}
	}
}
