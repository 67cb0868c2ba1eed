package kube

import (
	"fmt"
	"strings"

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
	case forbidden(err):
		return fmt.Errorf("%s: %w: docs/reference/cli.md lists the rights that each command needs", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// forbidden reports whether somebody lacks a right. What the API server says when it refuses to upgrade a connection comes as text alone.
func forbidden(err error) bool {
	text := err.Error()
	return apierrors.IsForbidden(err) || strings.Contains(text, "unable to upgrade connection: ") && strings.Contains(text, " is forbidden: ")
}
