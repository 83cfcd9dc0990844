{{- define "hookswitch.name" -}}
{{- if contains "hookswitch" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-hookswitch" (.Release.Name | trunc 39 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "hookswitch.selector" -}}
app.kubernetes.io/name: hookswitch
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "hookswitch.labels" -}}
{{ include "hookswitch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "hookswitch.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Namespaces the operator works in; empty means all. */}}
{{- define "hookswitch.namespaces" -}}
{{- if eq .Values.rbac.scope "Namespace" }}{{ join "," (.Values.watchNamespaces | default (list .Release.Namespace)) }}{{ end }}
{{- end }}

{{/* What the operator needs wherever its resources are. It must itself hold what the gateways' Roles grant. */}}
{{- define "hookswitch.rules" -}}
- apiGroups: [hookswitch.dev]
  resources: [oktaorgs, telephonyproviders, routingpolicies, telephonygateways, telephonyhooks, hookswitches]
  verbs: [get, list, watch]
- apiGroups: [hookswitch.dev]
  resources: [oktaorgs/status, telephonyproviders/status, routingpolicies/status, telephonygateways/status, telephonyhooks/status, hookswitches/status]
  verbs: [get, patch, update]
# finalizers
- apiGroups: [hookswitch.dev]
  resources: [oktaorgs, telephonygateways, telephonyhooks]
  verbs: [patch]
# whether the namespace is being deleted
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# owner references with blockOwnerDeletion, where the cluster checks them
- apiGroups: [hookswitch.dev]
  resources: [telephonygateways/finalizers, telephonyhooks/finalizers]
  verbs: [update]
# credentials that resources name, and the Secrets the operator makes
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, update, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
