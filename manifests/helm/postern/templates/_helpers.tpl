{{/* The control plane's objects and the data plane's. */}}
{{- define "postern.controlPlane" -}}{{ .Values.name }}-controlplane{{- end }}
{{- define "postern.dataPlane" -}}{{ .Values.name }}-dataplane{{- end }}

{{/* The web page's Service and Ingress, and the Secret that it is asked for. */}}
{{- define "postern.inspect" -}}{{ .Values.name }}-inspect{{- end }}
{{- define "postern.inspectSecret" -}}
{{- .Values.dashboard.credential.existingSecret | default (include "postern.inspect" .) -}}
{{- end }}

{{/* Names of cluster-wide objects: two installations in two namespaces must not share them. */}}
{{- define "postern.clusterName" -}}{{ .Values.name }}-controlplane-{{ .Release.Namespace }}{{- end }}

{{- define "postern.serviceAccount" -}}
{{- .Values.controlPlane.serviceAccount.name | default (include "postern.controlPlane" .) -}}
{{- end }}

{{/* What selects pods. It is never changed: a Deployment's selector is immutable. Takes (list $ COMPONENT). */}}
{{- define "postern.selector" -}}
app.kubernetes.io/name: postern
app.kubernetes.io/instance: {{ (index . 0).Values.name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object. Takes (list $ COMPONENT). */}}
{{- define "postern.labels" -}}
{{- $ := index . 0 -}}
{{ include "postern.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ $.Chart.Name }}-{{ $.Chart.Version }}
{{- with $.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An image. Takes (list $ IMAGE). */}}
{{- define "postern.image" -}}
{{- $i := index . 1 -}}
{{- if $i.digest -}}
{{ $i.repository }}@{{ $i.digest }}
{{- else -}}
{{ $i.repository }}:{{ $i.tag | default (index . 0).Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Every address of a pod. [::] takes IPv4 as well, but there is no such thing on a node without IPv6. */}}
{{- define "postern.any" -}}{{ if .Values.ipv6 }}[::]{{ else }}0.0.0.0{{ end }}{{- end }}

{{/* The user that both images name, by number as runAsNonRoot asks for. */}}
{{- define "postern.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "postern.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* How the pods of a Deployment with a host port are replaced: where every node has one, a new pod finds room only when an
old one is gone, and a rollout that waits for it would never end. */}}
{{- define "postern.oneForOne" -}}
type: RollingUpdate
rollingUpdate: {maxUnavailable: 1, maxSurge: 0}
{{- end }}

{{/* Where pods run. Takes (list $ COMPONENT PLANE). */}}
{{- define "postern.scheduling" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
{{- $p := index . 2 -}}
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $p.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $p.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $p.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $p.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and $p.topologySpread.enabled (ne (get $p "kind") "DaemonSet") }}
topologySpreadConstraints:
  {{- range $p.topologySpread.keys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $p.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "postern.selector" (list $ $component) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
