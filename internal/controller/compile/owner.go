package compile

import (
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"fairlead.dev/fairlead/internal/policy"
)

// longestCronRun bounds how long after the time that a CronJob's Job was due its pods may be made: a name that only looks as if it held a time
// is hardly ever so close to one.
const longestCronRun = 24 * time.Hour

// OwnerOf returns what made a pod, going by the pod alone: its controller, or what made that where its name says so. Nil: nothing has made it, or
// the kubelet has (a static pod).
//
// A Deployment names its ReplicaSets "<Deployment>-<hash>" and labels their pods with the hash. A CronJob names its Jobs "<CronJob>-<n>", n being
// when they were due in minutes since 1970. Where that does not fit, and for all other controllers, it is the controller itself.
func OwnerOf(p *corev1.Pod) *policy.Owner {
	by := metav1.GetControllerOf(p)
	if by == nil || by.Kind == "Node" || !isNamed(by) {
		return nil
	}
	switch by.Kind {
	case "ReplicaSet":
		if name, ok := strings.CutSuffix(by.Name, "-"+p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]); ok {
			return &policy.Owner{Kind: "Deployment", Name: name}
		}
	case "Job":
		if name, ok := cronJobOf(by.Name, p.CreationTimestamp.Time); ok {
			return &policy.Owner{Kind: "CronJob", Name: name}
		}
	}
	return &policy.Owner{Kind: by.Kind, Name: by.Name}
}

// isNamed reports whether there can be what a reference names. The API server takes any text, and whoever may make pods writes it.
func isNamed(by *metav1.OwnerReference) bool {
	return len(validation.IsDNS1123Subdomain(by.Name)) == 0 && len(validation.IsDNS1035Label(strings.ToLower(by.Kind))) == 0
}

// cronJobOf returns the CronJob that a Job is one of by its name, given when a pod of it was made.
func cronJobOf(job string, made time.Time) (name string, ok bool) {
	dash := strings.LastIndexByte(job, '-')
	minutes, err := strconv.ParseInt(job[dash+1:], 10, 64)
	if dash <= 0 || err != nil {
		return "", false
	}
	after := made.Sub(time.Unix(60*minutes, 0))
	return job[:dash], after > -time.Minute && after < longestCronRun // two machines' clocks
}
