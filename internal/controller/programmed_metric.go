package controller

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead.dev/fairlead/api/v1alpha1"
)

// programmedDesc describes the one family that has policies in its labels, so that an alert can name them.
var programmedDesc = prometheus.NewDesc("fairlead_controller_policy_programmed",
	"Whether the policy is in force on every node that it concerns (condition Programmed), by its reason: 1 or 0. Only the replica that leads shows it.",
	[]string{"policy", "reason"}, nil)

// noteProgrammed keeps what the status says of whether the policy is programmed, for the metric.
func (c *statusReconciler) noteProgrammed(r *statusRecord, conditions []metav1.Condition) {
	p := meta.FindStatusCondition(conditions, v1alpha1.ConditionProgrammed)
	if p == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.programmed, r.programmedReason = p.Status == metav1.ConditionTrue, p.Reason
}

// Describe implements prometheus.Collector.
func (c *statusReconciler) Describe(to chan<- *prometheus.Desc) { to <- programmedDesc }

// Collect implements prometheus.Collector.
func (c *statusReconciler) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, r := range c.records {
		if r.programmedReason == "" {
			continue // its status has not been worked out yet
		}
		v := 0.0
		if r.programmed {
			v = 1
		}
		to <- prometheus.MustNewConstMetric(programmedDesc, prometheus.GaugeValue, v, id.String(), r.programmedReason)
	}
}
