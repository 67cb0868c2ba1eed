{{- /* bounds shows the limits of a field, without those of its type's own section. */ -}}
{{- define "bounds" -}}
{{- $own := hasPrefix "fairlead.dev/" .Type.Package -}}
{{- range .Validation -}}
{{- if hasPrefix "Required" . }}<br />required
{{- else if and (regexMatch "^(Minimum|Maximum|MinItems|MaxItems|MaxLength):" .) (not (and $own (hasPrefix "MaxLength" .))) }}<br />{{ . | replace "1e+06" "1000000" | replace "1e+07" "10000000" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* messages shows what is refused at this field and not already by its type. */ -}}
{{- define "messages" -}}
{{- $type := .Type -}}
{{- if $type.UnderlyingType }}{{ if has (int $type.Kind) (list 4 5) }}{{ $type = $type.UnderlyingType }}{{ end }}{{ end -}}
{{- $known := list -}}
{{- range index $type.Markers "kubebuilder:validation:XValidation" }}{{ $known = append $known .Message }}{{ end -}}
{{- range index .Markers "kubebuilder:validation:XValidation" -}}
{{- if not (has .Message $known) }}<br />Refused: {{ markdownRenderFieldDoc .Message }}.{{ end -}}
{{- end -}}
{{- range index .Markers "kubebuilder:validation:items:XValidation" }}<br />Refused: {{ .Message }}.{{ end -}}
{{- end -}}
