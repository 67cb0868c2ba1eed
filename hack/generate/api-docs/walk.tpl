{{- /* walk renders a type of ours, and then the types of its fields, each once,
in reading order. Pointers and lists (kinds 4 and 5) stand for what they hold. */ -}}
{{- define "walk" -}}
{{- $type := .type -}}
{{- $seen := .seen -}}
{{- if $type -}}
{{- if has (int $type.Kind) (list 4 5) -}}
{{- template "walk" dict "type" $type.UnderlyingType "seen" $seen -}}
{{- else if and (hasPrefix "fairlead.dev/" $type.Package) (not (hasKey $seen $type.Name)) -}}
{{- $_ := set $seen $type.Name true -}}
{{- template "type" $type -}}
{{- range $type.Members -}}
{{- template "walk" dict "type" .Type "seen" $seen -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
