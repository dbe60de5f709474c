{{/* Values that cannot be meant, or that nothing stands behind yet, are refused: ignored, they would open what was to be closed. */}}
{{- define "postern.refuse" -}}
{{- $v := .Values -}}
{{- range $way := list "ingress" "hostPort" }}
{{- if and (get $v.dashboard $way).enabled (not $v.dashboard.enabled) }}
{{- fail (printf "dashboard.%s.enabled: dashboard.enabled is false, so there is no page to lead to" $way) }}
{{- end }}
{{- end }}
{{- $i := $v.dashboard.ingress }}
{{- if and $i.enabled $v.watch.namespaces (not (has .Release.Namespace $v.watch.namespaces)) }}
{{- fail (printf "dashboard.ingress.enabled: its Ingress is in namespace %s, which is not among watch.namespaces" .Release.Namespace) }}
{{- end }}
{{- if and $i.enabled $v.watch.labelSelector (not $i.labels) (not $v.labels) }}
{{- fail (printf "dashboard.ingress.enabled: Ingresses without the labels of watch.labelSelector (%s) are not served; give dashboard.ingress.labels" $v.watch.labelSelector) }}
{{- end }}
{{- if and $i.tlsSecret (not $i.hosts) }}
{{- fail "dashboard.ingress.tlsSecret: give the hosts that the certificate is for, in dashboard.ingress.hosts" }}
{{- end }}
{{- if and $v.entries.https.enforced (not $v.entries.https.enabled) }}
{{- fail "entries.https.enforced: there is nothing to redirect to while entries.https.enabled is false" }}
{{- end }}
{{- if not (or $v.entries.http.enabled $v.entries.https.enabled) }}
{{- fail "entries.http.enabled and entries.https.enabled are both false, so nothing would be served" }}
{{- end }}
{{- range $entry, $port := $v.dataPlane.hostPort }}
{{- if and $port.enabled (not (get $v.entries $entry).enabled) }}
{{- fail (printf "dataPlane.hostPort.%s.enabled: the entry is closed by entries.%s.enabled" $entry $entry) }}
{{- end }}
{{- end }}
{{- if and (hasSuffix "DualStack" $v.dataPlane.service.ipFamilyPolicy) (not $v.ipv6) }}
{{- fail "dataPlane.service.ipFamilyPolicy: the pods take no IPv6 while ipv6 is false" }}
{{- end }}
{{- if $v.dataPlane.service.tlsAtLoadBalancer }}
{{- if not $v.entries.http.enabled }}
{{- fail "dataPlane.service.tlsAtLoadBalancer: the load balancer speaks http, and the entry is closed by entries.http.enabled" }}
{{- end }}
{{- if not $v.entries.trustedProxies }}
{{- fail "dataPlane.service.tlsAtLoadBalancer: name the load balancer in entries.trustedProxies, or what came by https is redirected to https again and again" }}
{{- end }}
{{- end }}
{{- if and $v.dataPlane.autoscaling.enabled (eq $v.dataPlane.kind "DaemonSet") }}
{{- fail "dataPlane.autoscaling.enabled: a DaemonSet has one pod on each node; write dataPlane.kind: Deployment" }}
{{- end }}
{{- $a := $v.dataPlane.autoscaling }}
{{- if and $a.enabled (gt (int $a.minReplicas) (int $a.maxReplicas)) }}
{{- fail "dataPlane.autoscaling: minReplicas is greater than maxReplicas" }}
{{- end }}
{{- if and $a.enabled (not (or $a.targetCPUUtilizationPercentage $a.targetMemoryUtilizationPercentage)) }}
{{- fail "dataPlane.autoscaling.enabled: give targetCPUUtilizationPercentage or targetMemoryUtilizationPercentage" }}
{{- end }}
{{- $d := $v.entries.https.defaultCertificate }}
{{- if and $d.secret $d.folder }}
{{- fail "entries.https.defaultCertificate: give secret or folder, not both" }}
{{- end }}
{{- $mounted := list }}
{{- range $v.controlPlane.extraVolumeMounts }}{{ $mounted = append $mounted .mountPath }}{{ end }}
{{- if and $d.folder (not (has $d.folder $mounted)) }}
{{- fail (printf "entries.https.defaultCertificate.folder: nothing is mounted at %s; the control plane reads it, so mount it by controlPlane.extraVolumes and controlPlane.extraVolumeMounts" $d.folder) }}
{{- end }}
{{- if and $v.status.service $v.status.addresses }}
{{- fail "status: give service or addresses, not both" }}
{{- end }}
{{- if and $v.watch.namespaces $d.secret (not (has (splitList "/" $d.secret | first) $v.watch.namespaces)) }}
{{- fail (printf "entries.https.defaultCertificate.secret: the namespace of %s is not among watch.namespaces" $d.secret) }}
{{- end }}
{{- if and (not $v.controlPlane.serviceAccount.create) (not $v.controlPlane.serviceAccount.name) }}
{{- fail "controlPlane.serviceAccount.create is false: give its name" }}
{{- end }}
{{- if and $v.metrics.serviceMonitor.enabled (not $v.metrics.enabled) }}
{{- fail "metrics.serviceMonitor.enabled: metrics.enabled is false, so there is nothing to read" }}
{{- end }}
{{- end }}
