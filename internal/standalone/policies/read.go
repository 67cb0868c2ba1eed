package policies

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
)

// File is one file of resources.
type File struct {
	Name string
	Text []byte
}

// read is what the files hold.
type read struct {
	options  *Options
	sources  []source
	entries  map[compile.Reference]compile.Referent
	problems []string
}

// source is a policy and where it stands.
type source struct {
	compile.Source
	file string
}

// readFiles reads every document of the files.
func readFiles(files []File, o *Options) *read {
	r := &read{options: o, entries: map[compile.Reference]compile.Referent{}}
	for _, f := range files {
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(f.Text)))
		for n := 1; ; n++ {
			text, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = r.document(f.Name, text)
			}
			if err != nil {
				r.problem(f.Name, "document %d: %v", n, err)
			}
		}
	}
	if len(r.sources) == 0 && len(r.problems) == 0 {
		r.problems = append(r.problems, "no RetryPolicy and no ClusterRetryPolicy is in what -f names: name a file with one, config/samples has some.")
	}
	return r
}

func (r *read) problem(file, format string, args ...any) {
	r.problems = append(r.problems, file+": "+fmt.Sprintf(format, args...))
}

// document reads one resource. Others than policies, and what they refer to, are left out: files that are applied to a cluster hold more.
func (r *read) document(file string, text []byte) error {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("this is not YAML: %w", err)
	}
	switch head.Kind {
	case "RetryPolicy":
		p := &v1alpha1.RetryPolicy{}
		if err := r.policy(text, &head, p); err != nil {
			return err
		}
		p.Namespace = orDefault(p.Namespace, r.options.Namespace)
		r.add(file, compile.FromRetryPolicy(p), &p.ObjectMeta)
	case "ClusterRetryPolicy":
		p := &v1alpha1.ClusterRetryPolicy{}
		if err := r.policy(text, &head, p); err != nil {
			return err
		}
		r.add(file, compile.FromClusterRetryPolicy(p), &p.ObjectMeta)
	case "ConfigMap":
		c := &corev1.ConfigMap{}
		if err := yaml.Unmarshal(text, c); err != nil {
			return err
		}
		r.refer(v1alpha1.CABundleConfigMap, &c.ObjectMeta, c.Data, c.BinaryData)
	case "Secret":
		s := &corev1.Secret{}
		if err := yaml.Unmarshal(text, s); err != nil {
			return err
		}
		r.refer(v1alpha1.CABundleSecret, &s.ObjectMeta, s.StringData, s.Data)
	}
	return nil
}

// policy reads a policy, as strictly as an API server does.
func (r *read) policy(text []byte, head *metav1.TypeMeta, into metav1.Object) error {
	if want := v1alpha1.GroupVersion().String(); head.APIVersion != want {
		return fmt.Errorf("apiVersion %q of a %s is not known here; write %s", head.APIVersion, head.Kind, want)
	}
	if r.options.Validate != nil {
		if err := r.options.Validate(head.Kind, text); err != nil {
			return err
		}
	}
	if err := strictly(text, into); err != nil {
		return err
	}
	if into.GetName() == "" {
		return fmt.Errorf("the %s has no metadata.name; give it one", head.Kind)
	}
	return nil
}

// strictly reads a document that holds nothing but what its type does.
func strictly(text []byte, into any) error {
	converted, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	unknown, err := json.UnmarshalStrict(converted, into)
	return errors.Join(append(unknown, err)...)
}

// add adds a policy, with what it says for a time only.
func (r *read) add(file string, s compile.Source, meta *metav1.ObjectMeta) {
	s.Forced, s.Faults = compile.ForcedOf(meta, r.options.Now), compile.FaultsOf(&s, meta, r.options.Now)
	r.sources = append(r.sources, source{s, file})
}

// refer keeps what policies may refer to, under their own namespace and, for those of ClusterRetryPolicies, under that which fairlead runs in.
func (r *read) refer(kind v1alpha1.CABundleKind, meta *metav1.ObjectMeta, text map[string]string, data map[string][]byte) {
	all := make(map[string][]byte, len(text)+len(data))
	for k, v := range data {
		all[k] = v
	}
	for k, v := range text {
		all[k] = []byte(v)
	}
	referent := compile.NewReferent(all)
	for _, namespace := range []string{orDefault(meta.Namespace, r.options.Namespace), ""} {
		r.entries[compile.Reference{Kind: kind, Namespace: namespace, Name: meta.Name}] = referent
	}
}

// find is a compile.FindReference.
func (r *read) find(ref compile.Reference) compile.Referent {
	found := r.entries[ref]
	found.Now = r.options.Now
	if found.Now.IsZero() {
		found.Now = time.Unix(0, 0)
	}
	return found
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
