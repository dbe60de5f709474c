{{/* What is cluster-wide by its kind. */}}
{{- define "postern.clusterRules" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [namespaces]
  {{- with .Values.watch.namespaces }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [list, watch]
{{- $outside := without .Values.upstream.externalName "off" "cluster" "same-namespace" }}
{{- if $outside }}
# The address of a host outside must not be a node's.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* What the control plane reads and writes where Ingresses are: everywhere, or in each watched namespace. Secrets and
ConfigMaps are watched one by one, by name; RBAC has no way to say "those that an Ingress refers to". */}}
{{- define "postern.watchRules" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [list, watch]
{{ include "postern.eventRules" . }}
{{- end }}

{{- define "postern.eventRules" -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, get, patch]
{{- end }}

{{/* The Roles, each as name, namespace, rules. */}}
{{- define "postern.roles" -}}
{{- $name := include "postern.controlPlane" . -}}
{{- $namespaced := .Values.watch.namespaces -}}
- name: {{ $name }}-lease
  namespace: {{ .Release.Namespace }}
  rules:
    - apiGroups: [coordination.k8s.io]
      resources: [leases]
      resourceNames: [{{ .Values.name }}]
      verbs: [get, update]
    # A name cannot be asked for where the object is not there yet.
    - apiGroups: [coordination.k8s.io]
      resources: [leases]
      verbs: [create]
{{- range $namespaced }}
- name: {{ $name }}
  namespace: {{ . }}
  rules:
    {{- include "postern.watchRules" $ | nindent 4 }}
{{- end }}
{{- $published := include "postern.published" . }}
{{- if $published }}
- name: {{ $name }}-published-service
  namespace: {{ splitList "/" $published | first }}
  rules:
    - apiGroups: [""]
      resources: [services]
      resourceNames: [{{ splitList "/" $published | last }}]
      verbs: [get, list, watch]
{{- end }}
{{- if and $namespaced (not (has "default" $namespaced)) }}
# Events of objects without a namespace, an IngressClass for one, are in default.
- name: {{ $name }}-events
  namespace: default
  rules:
    {{- include "postern.eventRules" $ | nindent 4 }}
{{- end }}
{{- end }}

{{/* NAMESPACE/NAME of the Service whose addresses are published, or nothing. */}}
{{- define "postern.published" -}}
{{- if .Values.status.addresses -}}
{{- else if .Values.status.service -}}
{{ .Values.status.service }}
{{- else if include "postern.publishes" . -}}
{{ .Release.Namespace }}/{{ include "postern.dataPlane" . }}
{{- end -}}
{{- end }}
