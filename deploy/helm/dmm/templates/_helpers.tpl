{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- define "dmm.image" -}}
image: {{ .root.Values.images.repository }}/{{ .name }}:{{ .root.Values.images.tag }}
{{- with .root.Values.images.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{- define "dmm.cni" -}}
{{- $file := .Files.Get (printf "links/%s/cni.json" .Values.link) | fromJson -}}
{{- mergeOverwrite $file .Values.cni | toJson -}}
{{- end }}

{{- define "dmm.injection" -}}
{{- $file := .Files.Get (printf "links/%s/injector.json" .Values.link) | fromJson -}}
{{- $prefix := printf "%s/dmm-" .Values.images.repository -}}
{{- $images := dict "stackd" (printf "%sstackd:%s" $prefix .Values.images.tag) "shim" (printf "%sshim:%s" $prefix .Values.images.tag) -}}
{{- $all := mergeOverwrite $file .Values.injection (dict "images" $images) -}}
{{- if and (ne (toString $all.nativeSidecar) "false") (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "Kubernetes %s has no native sidecars: set injection.nativeSidecar=false (docs/kubernetes.md)" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if .Values.images.pullPolicy }}{{ $_ := set $all "imagePullPolicy" .Values.images.pullPolicy }}{{ end -}}
{{- $all | toJson -}}
{{- end }}

{{- define "dmm.installerMode" -}}
{{- if eq .Values.mode "multus" }}binary{{ else }}{{ .Values.mode }}{{ end -}}
{{- end }}
