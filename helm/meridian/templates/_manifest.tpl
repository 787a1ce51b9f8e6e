{{/* Reads the manifest once per render, and keeps what the chart needs of it in .Values.facts. */}}
{{- define "meridian.read" -}}
{{- if not (hasKey .Values "facts") }}
{{- if not .Values.manifest }}
{{- fail "manifest is empty: pass the fleet's file with --set-file manifest=regions/meridian.yaml" }}
{{- end }}
{{- $manifest := fromYaml .Values.manifest }}
{{- if hasKey $manifest "Error" }}
{{- fail (printf "manifest is not YAML (%s): run `meridian check`" $manifest.Error) }}
{{- end }}
{{- if ne (toString $manifest.schema) "meridian/v1" }}
{{- fail (printf "manifest says schema %v: this chart reads meridian/v1" (default "nothing" $manifest.schema)) }}
{{- end }}
{{- if not (kindIs "map" $manifest.regions) }}
{{- fail "manifest has no regions: run `meridian check`" }}
{{- end }}
{{- $names := keys $manifest.regions | sortAlpha | join ", " }}
{{- if not .Values.region }}
{{- fail (printf "region is empty: choose one of %s" $names) }}
{{- end }}
{{- $region := get $manifest.regions .Values.region }}
{{- if not $region }}
{{- fail (printf "region %s is not in the manifest: choose one of %s" .Values.region $names) }}
{{- end }}
{{- range $path := list "datacenter" "workers.quota" "workers.static" "workers.surge" "zookeeper" "endpoint" }}
{{- $at := $region }}
{{- range splitList "." $path }}{{ $at = ternary (get (default dict $at) .) nil (kindIs "map" $at) }}{{ end }}
{{- if has $at (list nil "") }}
{{- fail (printf "manifest: regions.%s.%s is missing: run `meridian check`" $.Values.region $path) }}
{{- end }}
{{- end }}
{{- range $path := list "fleet" "slots.static" "lease.window_ms" "lease.session_ms" "health.criteria" "dns.name" }}
{{- $at := $manifest }}
{{- range splitList "." $path }}{{ $at = ternary (get (default dict $at) .) nil (kindIs "map" $at) }}{{ end }}
{{- if has $at (list nil "") }}
{{- fail (printf "manifest: %s is missing: run `meridian check`" $path) }}
{{- end }}
{{- end }}
{{- $workers := $region.workers }}
{{- /* The quotas count slots, everything below nodes. It is the one key that may be left out. */}}
{{- $perNode := $region.workers_per_node | default 1 | int }}
{{- if or (lt $perNode 1) (ne (mod (int $workers.static) $perNode) 0) }}
{{- fail (printf "manifest: regions.%s.workers_per_node does not fit its workers: run `meridian check`" .Values.region) }}
{{- end }}
{{- $ceiling := ternary $workers.surge $workers.quota (eq .Values.burst.ceiling "surge") }}
{{- $burst := div (add (sub (int $ceiling) (int $workers.static) | max 0) (sub $perNode 1)) $perNode }}
{{- if not .Values.burst.enabled }}{{ $burst = 0 }}{{ end }}
{{- $facts := dict
  "manifest" $manifest
  "region" $region
  "sha256" (sha256sum .Values.manifest)
  "firstSlot" (index $manifest.slots.static 0 | int)
  "perNode" $perNode
  "core" (div (int $workers.static) $perNode | int)
  "burst" (int $burst)
  "standbys" (div (add (sub (int $workers.surge) (int $workers.quota)) (sub $perNode 1)) $perNode | max 1 | int)
  "others" (omit $manifest.regions .Values.region | keys | sortAlpha)
}}
{{- $_ := set .Values "facts" $facts }}
{{- include "meridian.rules" . }}
{{- end }}
{{- end }}

{{/* Where the nodes meet: the manifest's ensemble, or this release's own. */}}
{{- define "meridian.zookeeper" -}}
{{- if .Values.zookeeper.enabled -}}
{{- $name := include "zookeeper.fullname" (dict "Release" .Release "Values" .Values.zookeeper "Chart" (dict "Name" "zookeeper")) }}
{{- $hosts := list }}
{{- range $i := until (int .Values.zookeeper.replicas) }}
{{- $hosts = append $hosts (printf "%s-%d.%s-headless.%s.svc:2181" $name (add1 $i) $name $.Release.Namespace) }}
{{- end }}
{{- join "," $hosts }}
{{- else -}}
{{- .Values.facts.region.zookeeper }}
{{- end }}
{{- end }}

{{/* Ports of a connect string host:port,host:port/chroot, as JSON. */}}
{{- define "meridian.zookeeperPorts" -}}
{{- $ports := list }}
{{- range regexSplit "," (regexReplaceAll "/.*$" (include "meridian.zookeeper" .) "") -1 }}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" .) | default "2181" | int) }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{/* Ports that other regions are probed at, as JSON. */}}
{{- define "meridian.peerPorts" -}}
{{- $ports := list }}
{{- range .Values.facts.others }}
{{- $url := get $.Values.peers . | default "http://endpoint:8080" }}
{{- $host := regexFind "^https?://[^/]+" $url }}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $host) | default (ternary "443" "80" (hasPrefix "https:" $url)) | int) }}
{{- end }}
{{- $ports | uniq | sortAlpha | toJson }}
{{- end }}
