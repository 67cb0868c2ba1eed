package policies

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"fairlead.dev/fairlead/api/v1alpha1"
	"fairlead.dev/fairlead/internal/controller/compile"
	"fairlead.dev/fairlead/internal/policy"
)

// Workload is the UID of the one workload of a Set: the command.
const Workload = "command"

const profile = "command"

// Options say for whom the policies are read.
type Options struct {
	// Namespace is where the command stands, and what has no namespace of its own.
	Namespace string
	// Labels are the command's. Nil: every policy is for the command, whatever it selects.
	Labels map[string]string
	// Command is its name.
	Command string
	// Services say where Services are that policies name.
	Services []Service
	// Validate checks a policy's document against the schema of its kind; nil: only what compiling checks is checked.
	Validate func(kind string, document []byte) error
	// Now is the time: certificates expire.
	Now time.Time
}

// Set is what the files come to.
type Set struct {
	// Snapshot is for the data plane.
	Snapshot *policy.Snapshot
	// Policies counts those in force, DryRuns those of them that only look on, Unselected those that select others.
	Policies, DryRuns, Unselected int
	// Warnings are sentences about what the policies say and what does not hold here.
	Warnings []string
}

// Read reads files. problems are sentences that say what to write instead; with problems there is no Set.
func Read(files []File, o Options) (set *Set, problems []string) {
	r := readFiles(files, &o)
	set = &Set{}
	var candidates []compile.Candidate
	for i := range r.sources {
		s := &r.sources[i]
		p := r.compile(s)
		switch {
		case p == nil || s.Mode == v1alpha1.ModeDisabled:
		case !o.selects(p):
			set.Unselected++
		default:
			candidates = append(candidates, compile.Candidate{ID: s.ID, Current: p})
			set.Warnings = append(set.Warnings, warnings(s)...)
		}
	}
	inForce := r.resolve(candidates)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	for _, p := range inForce {
		set.Policies++
		if !p.Enforced() {
			set.DryRuns++
		}
	}
	set.Snapshot = r.snapshot(inForce)
	return set, nil
}

// compile checks a policy on its own.
func (r *read) compile(s *source) *compile.Policy {
	missing := r.missing(s)
	for _, name := range missing {
		r.problem(s.file, "%s names Service %s, and there is no cluster here to look it up in: say where it is with --service %s:PORT=HOST:PORT, or write host in place of service.",
			s.ID, name, dotted(name))
	}
	if len(missing) > 0 {
		return nil
	}
	p, problems := compile.Read(s.Source, r.options.lookup, r.find)
	for _, problem := range problems {
		r.problem(s.file, "%s: %s", s.ID, problem.Message)
	}
	if p == nil {
		return nil
	}
	return p.In(r.options.Namespace, r.options.lookup)
}

// missing lists the Services that a policy names and nobody has said the whereabouts of.
func (r *read) missing(s *source) (names []string) {
	for _, name := range compile.Services(&s.Source) {
		if rest, relative := strings.CutPrefix(name, "*/"); relative {
			name = r.options.Namespace + "/" + rest
		}
		if _, ok := r.options.lookup(name); !ok {
			names = append(names, name)
		}
	}
	return names
}

// selects reports whether a policy is for the command.
func (o *Options) selects(p *compile.Policy) bool {
	if o.Labels == nil {
		return true
	}
	if p.ID.Kind == policy.KindRetryPolicy && p.ID.Namespace != o.Namespace {
		return false
	}
	return p.Pods.Matches(labels.Set(o.Labels)) &&
		(p.Namespaces == nil || p.Namespaces.Matches(labels.Set{"kubernetes.io/metadata.name": o.Namespace}))
}

// resolve leaves out what conflicts, which is a problem: who writes files can say which one is meant.
func (r *read) resolve(candidates []compile.Candidate) (inForce []*compile.Policy) {
	for i, v := range compile.ResolveConflicts(candidates) {
		if v.Conflict != nil {
			problem := v.Conflict.Problem()
			r.problems = append(r.problems, candidates[i].ID.String()+": "+problem.Message)
			continue
		}
		inForce = append(inForce, v.InForce)
	}
	return inForce
}

// snapshot is what governs the command.
func (r *read) snapshot(inForce []*compile.Policy) *policy.Snapshot {
	s := &policy.Snapshot{
		Workloads: map[string]*policy.Workload{Workload: {
			UID: Workload, Namespace: r.options.Namespace, Name: r.options.Command, Profile: profile,
		}},
		Profiles:     map[string]*policy.Profile{profile: alone(compile.Compile(profile, inForce))},
		Destinations: map[string]*policy.Destination{},
		Roots:        map[string]*policy.Roots{}, KeyPairs: map[string]*policy.KeyPair{}, Credentials: map[string]*policy.Credentials{},
	}
	for i, v := range r.options.Services {
		s.Destinations[v.key()] = v.destination(i)
	}
	for _, p := range inForce {
		for _, m := range compile.MaterialsOf(&p.Source, r.find) {
			switch m.Kind {
			case policy.ReferenceRoots:
				s.Roots[m.Name] = m.Roots
			case policy.ReferenceKeyPair:
				s.KeyPairs[m.Name] = m.KeyPair
			case policy.ReferenceCredentials:
				s.Credentials[m.Name] = m.Credentials
			}
		}
	}
	return s
}

// alone has what nodes of a cluster share be this one's, which is the only one.
func alone(p *policy.Profile) *policy.Profile {
	for i := range p.Bindings {
		b := &p.Bindings[i]
		unshare(&b.Base)
		for k := range b.Rules {
			unshare(&b.Rules[k].Settings)
		}
	}
	return p
}

func unshare(s *policy.Settings) {
	if s.RateLimit != nil && s.RateLimit.Scope == policy.ShareCluster {
		own := *s.RateLimit
		own.Scope = policy.ShareNode
		s.RateLimit = &own
	}
}

// warnings are what compiling has to say, and what does not hold without a cluster.
func warnings(s *source) []string {
	var out []string
	for _, w := range compile.Warnings(&s.Source) {
		out = append(out, fmt.Sprintf("%s: %s: %s", s.file, s.ID, w))
	}
	intercepts := func(d v1alpha1.Destination) bool { return d.TLS != nil && d.TLS.Mode == v1alpha1.TLSIntercept }
	if slices.ContainsFunc(s.To, intercepts) {
		out = append(out, fmt.Sprintf("%s: %s: tls.mode: Intercept needs an authority that only a cluster has, so TLS passes through here; "+
			"write Originate, and have the command call http, to see calls to the host governed.", s.file, s.ID))
	}
	return out
}
