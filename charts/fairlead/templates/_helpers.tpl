{{/* Labels of every object. A pod has none of these: they change with each version, and pods would be replaced for it. */}}
{{- define "fairlead.labels" -}}
app.kubernetes.io/part-of: fairlead
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The image of a component: fairlead.image (list $ "manager"). */}}
{{- define "fairlead.image" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $image := (index $root.Values $name).image }}
{{- $digest := $image.digest }}
{{- if and (not $digest) $root.Values.image.pinDigests (not $root.Values.image.tag) }}
{{- $digest = index ($root.Chart.Annotations | default dict) (printf "fairlead.dev/%s-digest" $name) }}
{{- end }}
{{- $root.Values.image.registry }}/{{ $image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- with $digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Where the docs are; helm upgrade --reuse-values with values of an earlier chart has none. */}}
{{- define "fairlead.docsURL" -}}
{{ .Values.docsURL | default "https://fairlead.dev/docs" }}
{{- end }}

{{- define "fairlead.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where pods may run: fairlead.placement .Values.agent */}}
{{- define "fairlead.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* agent.drain in seconds. */}}
{{- define "fairlead.drainSeconds" -}}
{{- $drain := .Values.agent.drain }}
{{- $unit := dict "s" 1 "m" 60 "h" 3600 }}
{{- mul (regexFind "^[0-9]+" $drain | int) (index $unit (regexFind "[smh]$" $drain)) }}
{{- end }}

{{/* Port of agent.tracing.endpoint, or nothing. */}}
{{- define "fairlead.collectorPort" -}}
{{- $host := (urlParse .Values.agent.tracing.endpoint).host }}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" }}
{{- end }}

{{/* The securityContext of a container that needs no rights on its node. */}}
{{- define "fairlead.noRights" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
