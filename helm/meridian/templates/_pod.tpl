{{/* The pod of a node, and the parts that Jobs share with it. */}}
{{- define "meridian.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false # a Service called meridian would set MERIDIAN_… variables
serviceAccountName: {{ include "meridian.serviceAccount" . }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "meridian.containerSecurity" -}}
image: {{ include "meridian.image" (dict "root" . "image" .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy | default (ternary "IfNotPresent" "Always" (ne .Values.image.digest "")) }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "meridian.secret" -}}
valueFrom: { secretKeyRef: { name: {{ index . 0 }}, key: {{ index . 1 }} } }
{{- end }}

{{/* Where the region and its ZooKeeper are; for every command. */}}
{{- define "meridian.place" -}}
- name: MERIDIAN_MANIFEST
  value: /etc/meridian/meridian.yaml
- name: MERIDIAN_REGION
  value: {{ .Values.region | quote }}
{{- if .Values.zookeeper.enabled }}
- name: MERIDIAN_ZOOKEEPER
  value: {{ include "meridian.zookeeper" . | quote }}
{{- end }}
{{- with .Values.coordination.authSecret }}
- name: MERIDIAN_ZOOKEEPER_AUTH
  {{- include "meridian.secret" (list . "nodes") | nindent 2 }}
{{- end }}
{{- end }}

{{- define "meridian.podMetadata" -}}
annotations:
  meridian/manifest-sha256: {{ .Values.facts.sha256 }}
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* template of a workload: (list root component) */}}
{{- define "meridian.nodeTemplate" -}}
{{- $ := index . 0 }}
{{- $component := index . 1 -}}
{{- $colon := ternary "[$(POD_IP)]:" "$(POD_IP):" (eq $.Values.network.ipFamily "IPv6") -}}
metadata:
  {{- include "meridian.podMetadata" $ | nindent 2 }}
    {{- include "meridian.nodes" $ | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
spec:
  {{- include "meridian.podSecurity" $ | nindent 2 }}
  # Lame duck, drain, 5 s for the slot, and 5 s more.
  terminationGracePeriodSeconds: {{ add (int $.Values.shutdown.lameDuckSeconds) (int $.Values.shutdown.drainSeconds) 10 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: {{ ternary $.Values.spread.core $.Values.spread.burst (eq $component "core") }}
      labelSelector:
        matchLabels:
          {{- include "meridian.identity" $ | nindent 10 }}
          app.kubernetes.io/component: {{ $component }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "meridian.nodes" $ | nindent 10 }}
  containers:
    - name: meridian
      args: [serve]
      {{- include "meridian.containerSecurity" $ | nindent 6 }}
      env:
        - name: POD_IP
          valueFrom: { fieldRef: { fieldPath: status.podIP } }
        - name: MERIDIAN_HOST
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
        # Kubernetes 1.35 copies the machine's zone onto its pods; before, this is empty.
        - name: MERIDIAN_ZONE
          valueFrom: { fieldRef: { fieldPath: "metadata.labels['topology.kubernetes.io/zone']" } }
        {{- if eq $component "core" }}
        - name: MERIDIAN_STATIC_SLOT
          valueFrom: { fieldRef: { fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']" } }
        {{- end }}
        {{- include "meridian.place" $ | nindent 8 }}
        - name: MERIDIAN_LISTEN
          value: {{ printf "%s8080" $colon | quote }}
        - name: MERIDIAN_OPS_LISTEN
          value: {{ printf "%s9090" $colon | quote }}
        - name: MERIDIAN_STATE_DIR
          value: /var/lib/meridian
        - name: MERIDIAN_LAME_DUCK_SECONDS
          value: {{ $.Values.shutdown.lameDuckSeconds | int | quote }}
        - name: MERIDIAN_DRAIN_SECONDS
          value: {{ $.Values.shutdown.drainSeconds | int | quote }}
        - name: MERIDIAN_REGION_HOLD_SECONDS
          value: {{ $.Values.regionHoldSeconds | int | quote }}
        - name: MERIDIAN_LOG_FORMAT
          value: {{ $.Values.log.format }}
        {{- with $.Values.log.filter }}
        - name: MERIDIAN_LOG
          value: {{ . | quote }}
        {{- end }}
        {{- with $.Values.health.ignore }}
        - name: MERIDIAN_HEALTH_OFF
          value: {{ join "," . | quote }}
        {{- end }}
        {{- with $.Values.peers }}
        - name: MERIDIAN_PEER
          value: {{ $peers := list }}{{ range $name, $url := . }}{{ $peers = append $peers (printf "%s=%s" $name $url) }}{{ end }}{{ join "," $peers | quote }}
        {{- end }}
        {{- with $.Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - { name: http, containerPort: 8080, protocol: TCP }
        - { name: ops, containerPort: 9090, protocol: TCP }
      livenessProbe:
        httpGet: { path: /livez, port: ops }
        {{- toYaml $.Values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: { path: /readyz, port: ops }
        {{- toYaml $.Values.probes.readiness | nindent 8 }}
      resources:
        {{- toYaml $.Values.resources | nindent 8 }}
      volumeMounts:
        - { name: manifest, mountPath: /etc/meridian, readOnly: true }
        - { name: state, mountPath: /var/lib/meridian }
  volumes:
    {{- include "meridian.manifestVolume" $ | nindent 4 }}
    - name: state
      emptyDir: { sizeLimit: {{ $.Values.state.sizeLimit }} }
{{- end }}

{{- define "meridian.manifestVolume" -}}
- name: manifest
  configMap: { name: {{ include "meridian.fullname" . }}-manifest }
{{- end }}

{{/* template of a Job that runs one command: (dict "root" "component" "args" "env" "restart") */}}
{{- define "meridian.jobTemplate" -}}
{{- $ := .root -}}
metadata:
  {{- include "meridian.podMetadata" $ | nindent 2 }}
    {{- include "meridian.identity" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- include "meridian.podSecurity" $ | nindent 2 }}
  restartPolicy: {{ .restart }}
  containers:
    - name: {{ .component }}
      args: {{ toJson .args }}
      {{- include "meridian.containerSecurity" $ | nindent 6 }}
      env:
        {{- include "meridian.place" $ | nindent 8 }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
      resources:
        requests: { cpu: 50m, memory: 64Mi }
        limits: { cpu: "1", memory: 256Mi }
      volumeMounts:
        - { name: manifest, mountPath: /etc/meridian, readOnly: true }
  volumes:
    {{- include "meridian.manifestVolume" $ | nindent 4 }}
{{- end }}
