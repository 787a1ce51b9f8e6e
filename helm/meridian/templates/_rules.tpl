{{/* What no schema can say: rules between values, and between values and the manifest. */}}
{{- define "meridian.rules" -}}
{{- $v := .Values }}
{{- $f := .Values.facts }}
{{- if and (gt $f.burst 0) (gt (int $v.burst.replicas) $f.burst) }}
{{- fail (printf "burst.replicas %d is more than the %d that %s leaves to burst nodes (its %s minus its static workers): lower it" (int $v.burst.replicas) $f.burst $v.region $v.burst.ceiling) }}
{{- end }}
{{- if and (eq $v.burst.autoscaler "hpa") (lt (int $v.burst.replicas) 1) }}
{{- fail "burst.replicas 0 needs burst.autoscaler keda or none: an HPA does not scale from 0" }}
{{- end }}
{{- if and (eq $v.burst.autoscaler "keda") (lt (int $v.burst.replicas) 1) (not $v.burst.latency.enabled) (not $v.burst.overflow.enabled) }}
{{- fail "burst.replicas 0 needs burst.latency or burst.overflow: no CPU is used by nodes that are not there" }}
{{- end }}
{{- if gt (int $v.standby.replicas) $f.standbys }}
{{- fail (printf "standby.replicas %d is more than the %d that %s has room for (its surge minus its quota): lower it" (int $v.standby.replicas) $f.standbys $v.region) }}
{{- end }}
{{- $notice := add (mul (int $v.probes.readiness.periodSeconds) (int $v.probes.readiness.failureThreshold)) (int $v.probes.readiness.timeoutSeconds) 3 }}
{{- if lt (int $v.shutdown.lameDuckSeconds) (int $notice) }}
{{- fail (printf "shutdown.lameDuckSeconds %d is too short: the readiness probe and kube-proxy need %d s until nobody sends requests any more" (int $v.shutdown.lameDuckSeconds) $notice) }}
{{- end }}
{{- range $kind := list "liveness" "readiness" }}
{{- $probe := get $v.probes $kind }}
{{- if gt (int $probe.timeoutSeconds) (int $probe.periodSeconds) }}
{{- fail (printf "probes.%s.timeoutSeconds %d is longer than its periodSeconds %d: lower it" $kind (int $probe.timeoutSeconds) (int $probe.periodSeconds)) }}
{{- end }}
{{- end }}
{{- range $name, $url := $v.peers }}
{{- if not (has $name $f.others) }}
{{- fail (printf "peers.%s is not another region of the manifest: choose among %s" $name (join ", " $f.others)) }}
{{- end }}
{{- end }}
{{- if and (eq $v.burst.autoscaler "keda") (or $v.burst.latency.enabled $v.burst.overflow.enabled) (not $v.burst.keda.serverAddress) }}
{{- fail "burst.keda.serverAddress is empty: KEDA asks Prometheus for latency and overflow; give its URL, or switch both off" }}
{{- end }}
{{- range $v.extraEnv }}
{{- if or (eq .name "POD_IP") (hasPrefix "MERIDIAN_" .name) }}
{{- fail (printf "extraEnv sets %s, which is the chart's own: there is a value for it" .name) }}
{{- end }}
{{- end }}
{{- if ge (float64 $v.monitoring.rules.utilizationWarning) (float64 $v.monitoring.rules.utilizationCritical) }}
{{- fail (printf "monitoring.rules.utilizationWarning %v is not below utilizationCritical %v" $v.monitoring.rules.utilizationWarning $v.monitoring.rules.utilizationCritical) }}
{{- end }}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) }}
{{- fail "serviceAccount.name is empty: name the one that exists, or let serviceAccount.create make it" }}
{{- end }}
{{- if $v.zookeeper.enabled }}
{{- $session := int $f.manifest.lease.session_ms }}
{{- $tick := int $v.zookeeper.tickTime }}
{{- if or (lt $session (mul 2 $tick | int)) (gt $session (mul 20 $tick | int)) }}
{{- fail (printf "zookeeper.tickTime %d allows sessions of %d to %d ms, and the manifest's lease.session_ms is %d: change tickTime" $tick (mul 2 $tick) (mul 20 $tick) $session) }}
{{- end }}
{{- end }}
{{- end }}
