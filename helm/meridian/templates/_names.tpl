{{/* Names and labels. Long names are cut and keep a digest of the whole, so that two releases never meet in one. */}}
{{- define "meridian.name" -}}
{{- default .Chart.Name .Values.nameOverride }}
{{- end }}

{{- define "meridian.fullname" -}}
{{- $name := include "meridian.name" . }}
{{- $full := .Values.fullnameOverride }}
{{- if not $full }}
{{- $full = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- end }}
{{- if gt (len $full) 40 }}
{{- $full = printf "%s-%s" ($full | trunc 31 | trimSuffix "-") ($full | sha256sum | trunc 8) }}
{{- end }}
{{- $full }}
{{- end }}

{{/* What selectors hold: never a chart or a version, which change. */}}
{{- define "meridian.identity" -}}
app.kubernetes.io/name: {{ include "meridian.name" . | trunc 63 }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "meridian.labels" -}}
{{ include "meridian.identity" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{/* All that issue or wait for a slot, whatever their workload. */}}
{{- define "meridian.nodes" -}}
{{ include "meridian.identity" . }}
meridian-role: node
{{- end }}

{{/* metadata of an object: (list root name component) */}}
{{- define "meridian.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "meridian.labels" $root | nindent 2 }}
  app.kubernetes.io/component: {{ index . 2 }}
{{- end }}

{{- define "meridian.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "meridian.fullname" .) }}
{{- end }}

{{/* (dict "root" "image") */}}
{{- define "meridian.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry }}
{{- with $registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}
