package references

import (
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"

	"fairlead.dev/fairlead/internal/controller/compile"
)

func TestTheNewestServedVersionIsUsed(t *testing.T) {
	with := func(version schema.GroupVersion, resources ...string) *metav1.APIResourceList {
		out := &metav1.APIResourceList{GroupVersion: version.String()}
		for _, name := range resources {
			out.APIResources = append(out.APIResources, metav1.APIResource{Name: name})
		}
		return out
	}
	v1, beta := certificatesv1.SchemeGroupVersion, certificatesv1beta1.SchemeGroupVersion
	for name, tc := range map[string]struct {
		served []*metav1.APIResourceList
		want   schema.GroupVersion
	}{
		"neither":                 {nil, schema.GroupVersion{}},
		"v1 without the resource": {[]*metav1.APIResourceList{with(v1, "certificatesigningrequests")}, schema.GroupVersion{}},
		"beta alone":              {[]*metav1.APIResourceList{with(v1, "certificatesigningrequests"), with(beta, "clustertrustbundles")}, beta},
		"both":                    {[]*metav1.APIResourceList{with(v1, "clustertrustbundles"), with(beta, "clustertrustbundles")}, v1},
	} {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientset()
			c.Resources = tc.served
			if got, err := ServedTrustBundles(c.Discovery()); got != tc.want || err != nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestATrustBundleIsReadInEitherVersion(t *testing.T) {
	spec := "-----BEGIN CERTIFICATE-----"
	ref := compile.Reference{Kind: trustBundle, Name: "roots"}
	newer := start(t, &certificatesv1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: "roots"}, Spec: certificatesv1.ClusterTrustBundleSpec{TrustBundle: spec}})
	newer.api.Resources = []*metav1.APIResourceList{{GroupVersion: "certificates.k8s.io/v1", APIResources: []metav1.APIResource{{Name: "clustertrustbundles"}}}}
	newer.Wait(t.Context(), []compile.Reference{ref})
	newer.becomes(t, ref, compile.Present, compile.BundleEntry, spec)
	older := start(t, &certificatesv1beta1.ClusterTrustBundle{ObjectMeta: metav1.ObjectMeta{Name: "roots"}, Spec: certificatesv1beta1.ClusterTrustBundleSpec{TrustBundle: spec}})
	older.api.Resources = []*metav1.APIResourceList{{GroupVersion: "certificates.k8s.io/v1beta1", APIResources: []metav1.APIResource{{Name: "clustertrustbundles"}}}}
	older.Wait(t.Context(), []compile.Reference{ref})
	older.becomes(t, ref, compile.Present, compile.BundleEntry, spec)
}
