{{- define "hookswitch.name" -}}
{{- if contains "hookswitch" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-hookswitch" (.Release.Name | trunc 39 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "hookswitch.selector" -}}
app.kubernetes.io/name: hookswitch
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* A text as the value of a label: without the + of a version's build, at most 63 characters, ending in a letter or digit. */}}
{{- define "hookswitch.label" -}}
{{- regexReplaceAll "[^A-Za-z0-9]+$" (. | replace "+" "_" | trunc 63) "" | quote }}
{{- end }}

{{- define "hookswitch.labels" -}}
{{ include "hookswitch.selector" . }}
app.kubernetes.io/version: {{ include "hookswitch.label" .Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "hookswitch.label" (printf "%s-%s" .Chart.Name .Chart.Version) }}
{{- end }}

{{/* An image's tag cannot have the + of a version's build either. */}}
{{- define "hookswitch.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default (.Chart.AppVersion | replace "+" "_") }}{{ end }}
{{- end }}

{{/* Namespaces the operator works in; empty means all. */}}
{{- define "hookswitch.namespaces" -}}
{{- if eq .Values.rbac.scope "Namespace" }}{{ join "," (.Values.watchNamespaces | default (list .Release.Namespace)) }}{{ end }}
{{- end }}

{{/* Metadata of a pod, from (dict "root" $ "labels" those that the values cannot change). */}}
{{- define "hookswitch.podMetadata" -}}
labels: {{- merge (dict) .labels .root.Values.podLabels (include "hookswitch.labels" .root | fromYaml) | toYaml | nindent 2 }}
{{- with .root.Values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What every pod of the chart is told, wherever it runs. */}}
{{- define "hookswitch.pod" -}}
serviceAccountName: {{ include "hookswitch.name" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext: {{- merge (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) (include "hookswitch.runAs" . | fromYaml) | toYaml | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* As whom pods run, when the values say it. */}}
{{- define "hookswitch.runAs" -}}
{{- range $field, $value := .Values.podSecurityContext }}
{{- if not (kindIs "invalid" $value) }}
{{ $field }}: {{ int64 $value }}
{{- end }}
{{- end }}
{{- end }}

{{- define "hookswitch.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
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
