{{/* Labels of a component: (dict "root" . "component" "webhook") */}}
{{- define "lineward.labels" -}}
{{ include "lineward.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: lineward
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "lineward.selector" -}}
app.kubernetes.io/name: lineward
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Reference of an image: (dict "root" . "image" .Values.webhook.image) */}}
{{- define "lineward.image" -}}
{{- $registry := .image.registry | default .root.Values.image.registry | required "image.registry: name the registry that holds Lineward's images, such as registry.example.com/platform" -}}
{{- $name := printf "%s/%s" $registry .image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "lineward.tlsSecret" -}}
{{- if eq .Values.tls.mode "existingSecret" -}}
{{- .Values.tls.existingSecret | required "tls.existingSecret: name the Secret, or choose another tls.mode" -}}
{{- else -}}
lineward-webhook-tls
{{- end -}}
{{- end }}

{{/* Metadata of a component's pods: (dict "root" . "component" "webhook" "values" .Values.webhook "checksum" "...") */}}
{{- define "lineward.podMetadata" -}}
labels:
  {{- include "lineward.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := .values.podAnnotations | default dict | deepCopy }}
{{- with .checksum }}
{{- $_ := set $annotations "lineward.dev/config" . }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where and as whom a component's pods run. */}}
{{- define "lineward.podSpec" -}}
serviceAccountName: lineward-{{ .component }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Image, resources, security and probes of a component's one container. */}}
{{- define "lineward.container" -}}
name: {{ .component }}
image: {{ include "lineward.image" (dict "root" .root "image" .values.image) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with .root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 3
  timeoutSeconds: 3
{{- end }}

{{/* config.yaml of webhook and operator; its names are those of core/lineward/domain/settings.py. */}}
{{- define "lineward.config" -}}
{{- $restartRules := .Values.sidecar.containerRestartRules -}}
{{- if not (kindIs "bool" $restartRules) -}}
{{- $restartRules = semverCompare ">=1.35.0-0" .Capabilities.KubeVersion.Version -}}
{{- end -}}
{{- $settings := dict
  "namespace" .Release.Namespace
  "clusterName" .Values.clusterName
  "sidecarImage" (include "lineward.image" (dict "root" . "image" .Values.sidecar.image))
  "imagePullPolicy" .Values.image.pullPolicy
  "containerRestartRules" $restartRules
  "ledgerUrl" (printf "http://lineward-ledger.%s.svc:8080" .Release.Namespace)
  "ledgerAudience" "lineward-ledger"
  "openlineageUrl" .Values.openlineage.url
  "docsUrl" .Values.docsUrl
  "allowedInjectedEnv" .Values.allowedInjectedEnv
  "sidecarRequests" (.Values.sidecar.resources.requests | default dict)
  "sidecarLimits" (.Values.sidecar.resources.limits | default dict)
  "interceptedNamespaces" .Values.namespaces
  "webhookService" "lineward-webhook"
  "webhookSecret" (include "lineward.tlsSecret" .)
  "webhookConfiguration" "lineward"
  "webhookTimeoutSeconds" (int .Values.webhook.timeoutSeconds)
  "tlsMode" .Values.tls.mode
-}}
{{- toYaml $settings -}}
{{- end }}
