package kube

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// Explain says what was being done when the API server refused, and what helps.
func Explain(err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%s: this cluster does not know fairlead's policies: install fairlead, or choose another --context", doing)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: %w: docs/cli.md lists the rights that each command needs", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
