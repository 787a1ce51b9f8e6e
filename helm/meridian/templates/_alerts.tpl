{{/* Alerts, one a line of the table: name, severity, for, expression, what it means. Thresholds are the manifest's. */}}
{{- define "meridian.alerts" -}}
{{- $rules := .Values.monitoring.rules }}
{{- $manifest := .Values.facts.manifest }}
{{- $name := include "meridian.fullname" . }}
{{- $at := printf "namespace=%q,service=%q" .Release.Namespace (printf "%s-headless" $name) }}
{{- $core := printf "%s,pod=~%q" $at (printf "%s-core-.*" $name) }}
{{- $criteria := $manifest.health.criteria }}
{{- $extend := divf (mulf 0.4 (float64 $manifest.lease.window_ms)) 1000.0 }}
{{- $alerts := list
  (list "MeridianAbsent" "critical" "5m" (printf "absent(meridian_build_info{%s})" $at) "no node is scraped")
  (list "MeridianRegionUnhealthy" "critical" "1m" (printf "max(meridian_region_healthy{%s}) == 0" $at) "every node says that the region is out: GeoDNS sends its clients elsewhere")
  (list "MeridianRegionDrained" "warning" "6h" (printf "max(meridian_region_drained{%s}) == 1" $at) "the region has been drained for long: is it forgotten?")
  (list "MeridianWorkersShort" "warning" "5m" (printf "min(meridian_region_workers_live{%s}) < max(meridian_region_workers_needed{%s}) + %d" $at $at .Values.facts.perNode) "one more node lost, and the region is out")
  (list "MeridianCoreNotReady" "warning" "10m" (printf "meridian_ready{%s} == 0" $core) "core node {{ $labels.pod }} holds no slot")
  (list "MeridianNodeUnhealthy" "warning" "5m" (printf "meridian_healthy{%s} == 0 and meridian_ready{%s} == 1" $at $at) "node {{ $labels.pod }} issues ids, but would rather have no traffic: ask its /api/v1/health")
  (list "MeridianPeerDown" "warning" "2m" (printf "min by (region) (meridian_peer_up{%s}) == 0" $at) "region {{ $labels.region }} is down")
  (list "MeridianSurge" "warning" "5m" (printf "max(meridian_region_surge{%s}) == 1" $at) "the region carries a neighbour's load")
  (list "MeridianLeaseShort" "critical" "1m" (printf "meridian_lease_remaining_seconds{%s} < %g and on (namespace, pod) meridian_ready{%s} == 1" $at $extend $at) "extends of {{ $labels.pod }} fail: it stops issuing at its ceiling")
  (list "MeridianTreeFell" "critical" "0m" (printf "increase(meridian_lease_events_total{%s,event=~\"version_fell|clock_behind\"}[5m]) > 0" $at) "{{ $labels.pod }} saw {{ $labels.event }}: has ZooKeeper lost writes, or a clock gone back?")
  (list "MeridianHighWaterFailing" "warning" "5m" (printf "meridian_high_water_failing{%s} == 1" $at) "the disk of {{ $labels.pod }} takes no high-water marks")
  (list "MeridianSequenceHalf" "warning" "5m" (printf "meridian_sequence_utilization_ratio{%s} > %v" $at $rules.utilizationWarning) "{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its sequence: add workers")
  (list "MeridianSequenceFull" "critical" "5m" (printf "meridian_sequence_utilization_ratio{%s} > %v" $at $rules.utilizationCritical) "{{ $labels.pod }} uses {{ $value | humanizePercentage }} of its sequence: add workers")
  (list "MeridianOverflow" "warning" "5m" (printf "meridian_sequence_overflow_ratio{%s} > 0.01" $at) "{{ $value | humanizePercentage }} of the requests to {{ $labels.pod }} wait for the clock")
  (list "MeridianQueue" "warning" "5m" (printf "sum(meridian_requests_queued{%s}) > %v" $at (int $rules.queueDepth)) "{{ $value }} requests wait for the clock")
  (list "MeridianShedding" "warning" "5m" (printf "sum(rate(meridian_requests_shed_total{%s}[5m])) > 0" $at) "requests are shed: the region has more load than workers")
  (list "MeridianManifestsDiffer" "warning" "30m" (printf "count(count by (sha256) (meridian_manifest_info{meridian_fleet=%q})) > 1" (toString $manifest.fleet)) "nodes of the fleet run with different manifests")
}}
{{- if $criteria.response_time_ms }}
{{- $alerts = append $alerts (list "MeridianSlow" "warning" "5m" (printf "meridian_id_generation_latency_p99_seconds{%s} > %g" $at (divf (float64 $criteria.response_time_ms) 1000.0)) "p99 of {{ $labels.pod }} is {{ $value | humanizeDuration }}") }}
{{- end }}
{{- if $criteria.clock_drift_ms }}
{{- $alerts = append $alerts (list "MeridianClockDrift" "critical" "2m" (printf "abs(meridian_clock_drift_milliseconds{%s}) > %g" $at (float64 $criteria.clock_drift_ms)) "the clock of {{ $labels.pod }} is {{ $value }} ms off") }}
{{- end }}
{{- range $alerts }}
- alert: {{ index . 0 }}
  expr: {{ index . 3 | quote }}
  for: {{ index . 2 }}
  labels:
    severity: {{ index . 1 }}
    meridian_region: {{ $.Values.region }}
  annotations:
    summary: {{ printf "%s: %s" $.Values.region (index . 4) | quote }}
{{- end }}
{{- end }}

{{/* What the autoscaler reads: always a number, 0 for a node nobody asks. */}}
{{- define "meridian.records" -}}
{{- $at := printf "namespace=%q,service=%q" .Release.Namespace (printf "%s-headless" (include "meridian.fullname" .)) }}
{{- $by := "sum by (namespace, service, pod, meridian_fleet, meridian_region)" }}
{{- $idle := printf "0 * %s (meridian_ready{%s})" $by $at }}
{{- $count := printf "%s (rate(meridian_id_generation_latency_seconds_count{%s}[2m]))" $by $at }}
- record: meridian_id_generation_latency_p99_seconds
  expr: {{ printf "histogram_quantile(0.99, %s (rate(meridian_id_generation_latency_seconds_bucket{%s}[2m]))) > 0 or %s" (replace "pod," "pod, le," $by) $at $idle | quote }}
- record: meridian_sequence_overflow_ratio
  expr: {{ printf "%s (rate(meridian_sequence_overflow_total{%s}[2m])) / %s > 0 or %s" $by $at $count $idle | quote }}
{{- end }}
