package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"

	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// revisionPrefix begins the names of the ControllerRevisions, and revisionLabel marks them.
const (
	revisionPrefix = "fairlead-policy-"
	revisionLabel  = "policy.fairlead.dev/revision"
)

// revisions keeps the versions of policies that are in force, as ControllerRevisions in the manager's namespace, so that a manager which starts
// while a policy is rolled out, or after it was edited, knows what the nodes have that were not reached. Of a policy it keeps two at the most.
// One goroutine uses it, but for get.
type revisions struct {
	client appsclient.ControllerRevisionInterface
	// kept has the generations by policy; nil before they were listed.
	kept map[types.UID][]int64
}

func revisionName(uid types.UID, generation int64) string {
	return fmt.Sprintf("%s%s-%d", revisionPrefix, uid, generation)
}

// parseRevision reverses revisionName.
func parseRevision(name string) (types.UID, int64, bool) {
	rest, ours := strings.CutPrefix(name, revisionPrefix)
	at := strings.LastIndexByte(rest, '-')
	if !ours || at < 0 {
		return "", 0, false
	}
	generation, err := strconv.ParseInt(rest[at+1:], 10, 64)
	return types.UID(rest[:at]), generation, err == nil
}

// list finds out what is kept.
func (k *revisions) list(ctx context.Context) error {
	if k.kept != nil {
		return nil
	}
	list, err := k.client.List(ctx, metav1.ListOptions{LabelSelector: revisionLabel})
	if err != nil {
		return fmt.Errorf("list revisions: %w", err)
	}
	k.kept = map[types.UID][]int64{}
	for i := range list.Items {
		if uid, generation, ok := parseRevision(list.Items[i].Name); ok {
			k.kept[uid] = append(k.kept[uid], generation)
		}
	}
	return nil
}

// get returns a generation of a policy, or nil if it was not kept.
func (k *revisions) get(ctx context.Context, id policy.ID, uid types.UID, generation int64) (*compile.Source, error) {
	r, err := k.client.Get(ctx, revisionName(uid, generation), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read generation %d of %s: %w", generation, id, err)
	}
	src, err := compile.DecodeSource(id, r.Data.Raw)
	if err != nil {
		return nil, err
	}
	return &src, nil
}

// keep keeps a version of a policy, and the one that was kept before it.
func (k *revisions) keep(ctx context.Context, uid types.UID, src *compile.Source) error {
	if err := k.list(ctx); err != nil {
		return err
	}
	if slices.Contains(k.kept[uid], src.Generation) {
		return nil
	}
	data, err := src.Encode()
	if err != nil {
		return fmt.Errorf("encode generation %d of %s: %w", src.Generation, src.ID, err)
	}
	_, err = k.client.Create(ctx, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: revisionName(uid, src.Generation), Labels: map[string]string{revisionLabel: ""}},
		Data:       runtime.RawExtension{Raw: data},
		Revision:   src.Generation,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("keep generation %d of %s: %w", src.Generation, src.ID, err)
	}
	k.kept[uid] = append(k.kept[uid], src.Generation)
	slices.Sort(k.kept[uid])
	return k.drop(ctx, uid, 2)
}

// drop deletes what is kept of a policy but the last few versions.
func (k *revisions) drop(ctx context.Context, uid types.UID, last int) error {
	if err := k.list(ctx); err != nil {
		return err
	}
	for list := k.kept[uid]; len(list) > last; list = k.kept[uid] {
		err := k.client.Delete(ctx, revisionName(uid, list[0]), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete generation %d of a policy: %w", list[0], err)
		}
		if k.kept[uid] = list[1:]; len(k.kept[uid]) == 0 {
			delete(k.kept, uid)
		}
	}
	return nil
}

// policies lists the policies of which something is kept.
func (k *revisions) policies() []types.UID { return slices.Collect(maps.Keys(k.kept)) }
