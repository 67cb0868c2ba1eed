{{- define "gvList" -}}
{{- range . -}}
# API reference

`{{ .GroupVersionString }}`, generated from the types in `api/{{ .Version }}`.

Kinds: [RetryPolicy](#retrypolicy) (namespaced, short name `rp`) and
[ClusterRetryPolicy](#clusterretrypolicy) (cluster-scoped, short name `crp`).
Both are in the category `fairlead`: `kubectl get fairlead -A`.

The validation rules use the address functions of Kubernetes 1.31, so that is
the oldest API server that can install the kinds.

Policies merge. A field that is not set inherits what other policies say for
the same call, and then the default written beside it. What one object alone
can get wrong is refused by the API server with the sentence listed under
"Refused"; what needs other objects is answered by the condition `Accepted`. Conditions and their
reasons are [at the end](#conditions).
{{ $gv := . -}}
{{- $seen := dict -}}
{{- range list "RetryPolicy" "ClusterRetryPolicy" -}}
{{- template "walk" dict "type" ($gv.TypeForKind .) "seen" $seen -}}
{{- end }}
{{ template "conditions" }}
{{- end -}}
{{- end -}}
