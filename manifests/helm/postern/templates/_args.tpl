{{/* Whether the data plane's Service has addresses to publish. */}}
{{- define "postern.publishes" -}}
{{- $s := .Values.dataPlane.service -}}
{{- if and .Values.status.publishService $s.enabled (eq $s.type "LoadBalancer") }}yes{{ end -}}
{{- end }}

{{- define "postern.controlPlaneArgs" -}}
{{- $v := .Values -}}
{{- $any := include "postern.any" . -}}
- controlplane
{{- range $v.watch.namespaces }}
- --namespace={{ . }}
{{- end }}
- --controller-name={{ $v.ingressClass.controller }}
{{- with $v.watch.ingressClass }}
- --ingress-class={{ . }}
{{- end }}
{{- if $v.watch.ingressWithoutClass }}
- --ingress-without-class
{{- end }}
{{- with $v.watch.labelSelector }}
- {{ printf "--ingress-selector=%s" . | quote }}
{{- end }}
- --http={{ if $v.entries.http.enabled }}{{ $any }}:8080{{ end }}
- --https={{ if $v.entries.https.enabled }}{{ $any }}:8443{{ end }}
- --https-public-port={{ $v.entries.https.publicPort }}
{{- if $v.entries.https.enforced }}
- --https-enforced
{{- end }}
- --tls-min-version={{ $v.entries.https.tlsMinVersion }}
{{- with $v.entries.https.defaultCertificate.secret }}
- --default-tls-secret={{ . }}
{{- end }}
{{- with $v.entries.https.defaultCertificate.folder }}
- --tls-cert-dir={{ . }}
{{- end }}
{{- with $v.entries.trustedProxies }}
- {{ printf "--trusted-proxies=%s" (join "," .) | quote }}
{{- end }}
{{- with $v.entries.allowedClients }}
- {{ printf "--allowed-clients=%s" (join "," .) | quote }}
{{- end }}
{{- if $v.accessLog.enabled }}
- --access-log={{ $v.accessLog.format }}
{{- end }}
- --escaped-slashes={{ $v.entries.escapedSlashes }}
- --slash-redirect={{ $v.entries.slashRedirect }}
- --traefik-path-prefix={{ $v.entries.traefikPathPrefix }}
{{- if $v.upstream.insecureSkipVerify }}
- --upstream-insecure-skip-verify
{{- end }}
{{- if $v.upstream.ca.configMap }}
- --upstream-ca=/etc/postern/upstream-ca/{{ $v.upstream.ca.key }}
{{- end }}
- {{ printf "--external-name=%s" (join "," $v.upstream.externalName) | quote }}
{{- with $v.upstream.denyCIDR }}
- {{ printf "--deny-cidr=%s" (join "," .) | quote }}
{{- end }}
{{- range $v.upstream.dnsServers }}
- {{ printf "--dns-server=%s" . | quote }}
{{- end }}
- --cluster-domain={{ $v.upstream.clusterDomain }}
- --xds={{ $any }}:18000
- --xds-cert-dir=/etc/postern/xds
{{- if $v.status.addresses }}
- {{ printf "--publish-address=%s" (join "," $v.status.addresses) | quote }}
{{- else if $v.status.service }}
- --publish-service={{ $v.status.service }}
{{- else if include "postern.publishes" . }}
- --publish-service=$(POD_NAMESPACE)/{{ include "postern.dataPlane" . }}
{{- end }}
- --lease-name={{ $v.name }}
- --health={{ $any }}:8081
- --metrics={{ if $v.metrics.enabled }}{{ $any }}:9090{{ end }}
{{- if $v.dashboard.enabled }}
- --inspect={{ $any }}:8083
- --inspect-users=/etc/postern/inspect/users
- --inspect-replicas={{ include "postern.inspect" . }}-replicas.$(POD_NAMESPACE).svc.{{ trimAll "." $v.upstream.clusterDomain }}.
{{- end }}
{{- if $v.controlPlane.pprof }}
- --pprof=127.0.0.1:6060
{{- end }}
- --log-level={{ $v.controlPlane.logLevel }}
- --log-format={{ $v.controlPlane.logFormat }}
{{- range $v.controlPlane.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- define "postern.dataPlaneArgs" -}}
{{- $p := .Values.dataPlane -}}
{{- $any := include "postern.any" . -}}
- dataplane
- --data-plane={{ $p.proxy }}
{{- /* The dot at the end keeps the search domains of the pod out of it. */}}
- --xds={{ include "postern.controlPlane" . }}.$(POD_NAMESPACE).svc.{{ trimAll "." .Values.upstream.clusterDomain }}.:18000
- --xds-cert-dir=/etc/postern/xds
- --xds-server-name={{ .Values.xds.serverName }}
- --folder=/run/postern
- --health={{ $any }}:8082
- --drain-delay={{ $p.drain.delaySeconds }}s
- --drain-timeout={{ $p.drain.timeoutSeconds }}s
{{- if $p.concurrency }}
- --concurrency={{ $p.concurrency }}
{{- end }}
- --log-level={{ $p.logLevel }}
- --log-format={{ $p.logFormat }}
{{- range $p.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
