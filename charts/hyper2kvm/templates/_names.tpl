{{- define "hyper2kvm.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "hyper2kvm.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "hyper2kvm.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hyper2kvm.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "hyper2kvm.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What never changes between versions: selectors are made of it. */}}
{{- define "hyper2kvm.selector" -}}
app.kubernetes.io/name: {{ include "hyper2kvm.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "hyper2kvm.labels" -}}
{{ include "hyper2kvm.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "hyper2kvm.image" -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}

{{/* What the operator asks of a namespace whose conversions it looks at. */}}
{{- define "hyper2kvm.rules" -}}
- apiGroups: [hyper2kvm.io]
  resources: [vmconversions]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [hyper2kvm.io]
  resources: [vmconversions/status]
  verbs: [patch]
- apiGroups: [hyper2kvm.io]
  resources: [vmconversions/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, delete]
- apiGroups: [cdi.kubevirt.io]
  resources: [datavolumes]
  verbs: [get, create, delete]
- apiGroups: [kubevirt.io]
  resources: [virtualmachines]
  verbs: [get, create, patch, delete]
- apiGroups: [instancetype.kubevirt.io]
  resources: [virtualmachineclusterpreferences]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
