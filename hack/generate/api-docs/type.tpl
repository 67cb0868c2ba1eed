{{- define "type" }}

## {{ .Name }}

{{ .Doc }}
{{- if .SortedReferences }}

Used in:
{{- range $i, $t := .SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $t }}{{ end }}.
{{- end }}
{{- if and .IsAlias (not .EnumValues) }}

A {{ markdownRenderTypeLink .UnderlyingType }}.
{{- range .Validation }}{{ if hasPrefix "Pattern" . }} {{ . }}.{{ end }}{{ end }}
{{- end }}
{{- if .Members }}

| Field | Description |
| --- | --- |
{{- range .Members }}
| `{{ .Name }}`<br />{{ markdownRenderType .Type }}{{ template "bounds" . }} | {{ if eq .Name "metadata" }}Standard object's metadata.{{ else }}{{ markdownRenderFieldDoc .Doc | replace "<br />" " " }}{{ end }}{{ template "messages" . }} |
{{- end }}
{{- end }}
{{- if .EnumValues }}

| Value | Meaning |
| --- | --- |
{{- range .EnumValues }}
| `{{ .Name }}` | {{ markdownRenderFieldDoc .Doc | replace "<br />" " " | trim | regexFind " .*" | trim }} |
{{- end }}
{{- else if .IsAlias }}
{{- range .Validation }}{{ if hasPrefix "Enum" . }}

One of: {{ trimPrefix "Enum: [" . | trimSuffix "]" | replace " " ", " }}.
{{- end }}{{ end }}
{{- end }}
{{- with index .Markers "kubebuilder:validation:XValidation" }}

Refused:
{{ range . }}
- {{ .Message }}
{{- end }}
{{- end }}
{{- end -}}
