package compile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/internal/policy"
)

func TestOwnersOfPods(t *testing.T) {
	made := time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)
	due := func(ago time.Duration) string { return fmt.Sprint("report-", made.Add(-ago).Unix()/60) }
	hashed := map[string]string{"pod-template-hash": "7d4b9c"}
	for name, tc := range map[string]struct {
		kind, controller string
		labels           map[string]string
		want             *policy.Owner
	}{
		"a Deployment's":                           {"ReplicaSet", "check-out-7d4b9c", hashed, &policy.Owner{Kind: "Deployment", Name: "check-out"}},
		"a ReplicaSet's of nobody":                 {"ReplicaSet", "check-out", nil, &policy.Owner{Kind: "ReplicaSet", Name: "check-out"}},
		"a ReplicaSet's that has a name of others": {"ReplicaSet", "check-out-7d4b9c", nil, &policy.Owner{Kind: "ReplicaSet", Name: "check-out-7d4b9c"}},
		"a hash that is not the name's":            {"ReplicaSet", "check-out-1", hashed, &policy.Owner{Kind: "ReplicaSet", Name: "check-out-1"}},
		"a hash that is only the name's end":       {"ReplicaSet", "check-out7d4b9c", hashed, &policy.Owner{Kind: "ReplicaSet", Name: "check-out7d4b9c"}},
		"a StatefulSet's":                          {"StatefulSet", "db", nil, &policy.Owner{Kind: "StatefulSet", Name: "db"}},
		"a DaemonSet's":                            {"DaemonSet", "logs", nil, &policy.Owner{Kind: "DaemonSet", Name: "logs"}},
		"a Job's":                                  {"Job", "migrate", nil, &policy.Owner{Kind: "Job", Name: "migrate"}},
		"a Job's with a number":                    {"Job", "migrate-42", nil, &policy.Owner{Kind: "Job", Name: "migrate-42"}},
		"a Job's with a date":                      {"Job", "migrate-20260301", nil, &policy.Owner{Kind: "Job", Name: "migrate-20260301"}},
		"a Job's that is a number":                 {"Job", due(0)[len("report-"):], nil, &policy.Owner{Kind: "Job", Name: due(0)[len("report-"):]}},
		"a CronJob's":                              {"Job", due(0), nil, &policy.Owner{Kind: "CronJob", Name: "report"}},
		"a CronJob's, made anew":                   {"Job", due(23 * time.Hour), nil, &policy.Owner{Kind: "CronJob", Name: "report"}},
		"a CronJob's, by a clock that is fast":     {"Job", due(-31 * time.Second), nil, &policy.Owner{Kind: "CronJob", Name: "report"}},
		"a Job's, due long ago":                    {"Job", due(25 * time.Hour), nil, &policy.Owner{Kind: "Job", Name: due(25 * time.Hour)}},
		"a Job's, due later":                       {"Job", due(-time.Hour), nil, &policy.Owner{Kind: "Job", Name: due(-time.Hour)}},
		"another controller's":                     {"GameServer", "arena", nil, &policy.Owner{Kind: "GameServer", Name: "arena"}},
		"nothing's that can be":                    {"GameServer", "an arena", nil, nil},
		"nothing's of a kind that can be":          {"Game Server", "arena", nil, nil},
		"nothing's, for its name is too long":      {"Job", strings.Repeat("a", 254), nil, nil},
		"static":                                   {"Node", "n1", nil, nil},
		"made by hand":                             {"", "", hashed, nil},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: tc.labels, CreationTimestamp: metav1.NewTime(made)}}
		if tc.kind != "" {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: "Other", Name: "not its controller"}, {Kind: tc.kind, Name: tc.controller, Controller: new(true)}}
		}
		if diff := cmp.Diff(tc.want, OwnerOf(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
