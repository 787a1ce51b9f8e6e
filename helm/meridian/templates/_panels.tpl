{{/* The dashboard as JSON; one panel a row of the table: title, unit, legend, expression, limit (or 0). */}}
{{- define "meridian.dashboard" -}}
{{- $manifest := .Values.facts.manifest }}
{{- $rules := .Values.monitoring.rules }}
{{- $at := printf "meridian_fleet=%q,meridian_region=~\"$region\"" (toString $manifest.fleet) }}
{{- $criteria := $manifest.health.criteria }}
{{- $rows := list
  (list "Regions as GeoDNS hears them" "bool_on_off" "{{meridian_region}}" (printf "max by (meridian_region) (meridian_region_healthy{%s})" $at) 0)
  (list "Ids a second" "short" "{{meridian_region}}" (printf "sum by (meridian_region) (rate(meridian_ids_total{%s}[1m]))" $at) 0)
  (list "Live workers" "short" "{{meridian_region}}" (printf "min by (meridian_region) (meridian_region_workers_live{%s})" $at) 0)
  (list "Workers needed" "short" "{{meridian_region}}" (printf "max by (meridian_region) (meridian_region_workers_needed{%s})" $at) 0)
  (list "p99 of service time" "s" "{{pod}}" (printf "meridian_id_generation_latency_p99_seconds{%s}" $at) (divf (float64 (default 0 $criteria.response_time_ms)) 1000.0))
  (list "Sequence in use" "percentunit" "{{pod}}" (printf "meridian_sequence_utilization_ratio{%s}" $at) $rules.utilizationCritical)
  (list "Requests that wait for the clock" "short" "{{meridian_region}}" (printf "sum by (meridian_region) (meridian_requests_queued{%s})" $at) $rules.queueDepth)
  (list "Requests shed a second" "short" "{{meridian_region}} {{why}}" (printf "sum by (meridian_region, why) (rate(meridian_requests_shed_total{%s}[1m]))" $at) 0)
  (list "How far the ceiling is ahead" "s" "{{pod}} {{worker}}" (printf "meridian_lease_remaining_seconds{%s}" $at) 0)
  (list "Clock drift" "ms" "{{pod}}" (printf "meridian_clock_drift_milliseconds{%s}" $at) (default 0 $criteria.clock_drift_ms))
  (list "Lease events" "short" "{{meridian_region}} {{event}}" (printf "sum by (meridian_region, event) (rate(meridian_lease_events_total{%s}[5m]))" $at) 0)
  (list "Other regions, as seen from here" "bool_on_off" "{{meridian_region}} sees {{region}}" (printf "min by (meridian_region, region) (meridian_peer_up{%s})" $at) 0)
  (list "Manifests" "short" "{{sha256}}" (printf "count by (sha256) (meridian_manifest_info{%s})" $at) 0)
}}
{{- $source := dict "type" "prometheus" "uid" "${datasource}" }}
{{- $panels := list }}
{{- range $i, $row := $rows }}
{{- $steps := list (dict "color" "green" "value" nil) }}
{{- if gt (float64 (index $row 4)) 0.0 }}{{ $steps = append $steps (dict "color" "red" "value" (index $row 4)) }}{{ end }}
{{- $panels = append $panels (dict
  "id" (add1 $i) "type" "timeseries" "title" (index $row 0) "datasource" $source
  "gridPos" (dict "x" (mul 12 (mod $i 2)) "y" (mul 8 (div $i 2)) "w" 12 "h" 8)
  "fieldConfig" (dict "overrides" list "defaults" (dict "unit" (index $row 1) "min" 0 "thresholds" (dict "mode" "absolute" "steps" $steps)))
  "targets" (list (dict "refId" "A" "datasource" $source "expr" (index $row 3) "legendFormat" (index $row 2)))
) }}
{{- end }}
{{- $variables := list
  (dict "name" "datasource" "type" "datasource" "query" "prometheus" "label" "Prometheus")
  (dict "name" "region" "type" "query" "datasource" $source "query" (printf "label_values(meridian_build_info{meridian_fleet=%q}, meridian_region)" (toString $manifest.fleet)) "multi" true "includeAll" true "refresh" 2 "label" "Region")
}}
{{- dict "uid" (printf "meridian-%s" (sha256sum (toString $manifest.fleet) | trunc 8)) "title" (printf "Meridian: %v" $manifest.fleet)
  "schemaVersion" 39 "editable" false "refresh" "15s" "time" (dict "from" "now-1h" "to" "now")
  "tags" (list "meridian") "templating" (dict "list" $variables) "panels" $panels | toPrettyJson }}
{{- end }}
