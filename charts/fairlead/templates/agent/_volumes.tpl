{{- define "fairlead.agentMounts" -}}
- name: token
  mountPath: /var/run/fairlead/token
  readOnly: true
- name: ca
  mountPath: /var/run/fairlead/ca
  readOnly: true
- name: state
  mountPath: /var/lib/fairlead
- name: cri
  mountPath: {{ dir .Values.agent.criSocket }}
  readOnly: true
# Runtimes report namespaces under either path; namespaces of pods that
# start later must appear here too.
- name: netns
  mountPath: /run/netns
  mountPropagation: HostToContainer
  readOnly: true
- name: netns
  mountPath: /var/run/netns
  mountPropagation: HostToContainer
  readOnly: true
{{- if .Values.agent.tracing.caConfigMap.name }}
- name: collector-ca
  mountPath: /var/run/fairlead/collector
  readOnly: true
{{- end }}
{{- end }}

{{- define "fairlead.agentVolumes" -}}
- name: token
  projected:
    sources:
    - serviceAccountToken:
        path: token
        audience: fairlead-manager
        expirationSeconds: 3600
- name: ca
  configMap:
    # Written by the manager. The kubelet starts the agent once it exists;
    # were it optional, the kubelet would show it to an agent that started
    # first only at its next look, a minute later.
    name: fairlead-ca
- name: state
  hostPath:
    # The last good configuration, to start from while the manager is away.
    path: {{ .Values.agent.stateDir }}
    type: DirectoryOrCreate
- name: cri
  hostPath:
    path: {{ dir .Values.agent.criSocket }}
    type: Directory
- name: netns
  hostPath:
    path: /run/netns
    type: Directory
{{- with .Values.agent.tracing.caConfigMap }}
{{- if .name }}
- name: collector-ca
  configMap:
    name: {{ .name }}
    items:
    - key: {{ .key }}
      path: ca.crt
{{- end }}
{{- end }}
{{- end }}

{{/* The variables by which an agent knows its collector: fairlead.tracingEnv .Values.agent.tracing */}}
{{- define "fairlead.tracingEnv" -}}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol }}
{{- with .headersSecret }}
{{- if .name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- if .caConfigMap.name }}
- name: OTEL_EXPORTER_OTLP_CERTIFICATE
  value: /var/run/fairlead/collector/ca.crt
{{- end }}
{{- end }}
{{- end }}
