{{- define "zookeeper.fullname" -}}
{{- $full := printf "%s-zookeeper" .Release.Name }}
{{- if gt (len $full) 40 }}
{{- $full = printf "%s-%s-zk" (.Release.Name | trunc 28 | trimSuffix "-") (.Release.Name | sha256sum | trunc 8) }}
{{- end }}
{{- $full }}
{{- end }}

{{- define "zookeeper.identity" -}}
app.kubernetes.io/name: zookeeper
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* metadata of an object: (list root name) */}}
{{- define "zookeeper.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "zookeeper.identity" $root | nindent 2 }}
  app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 }}
{{- end }}

{{- define "zookeeper.image" -}}
{{- $image := .Values.image }}
{{- with .Values.global.imageRegistry | default $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}
