#!/bin/bash
# make-image.sh FOLDER NAME OUT.tar [COMMAND...]: a container image of one layer from any folder, with tar and jq only.
# The same folder gives the same image.
set -euo pipefail
folder=$1 name=$2 out=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$folder" -cf "$work/layer.tar" .
layer=$(sha256sum < "$work/layer.tar" | cut -d' ' -f1)
jq -nc --arg layer "sha256:$layer" '{
  architecture: "amd64", os: "linux", created: "1970-01-01T00:00:00Z",
  config: {Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: $ARGS.positional},
  rootfs: {type: "layers", diff_ids: [$layer]},
  history: [{created: "1970-01-01T00:00:00Z", created_by: "make-image.sh"}]}' --args "$@" > "$work/config.json"
config=$(sha256sum < "$work/config.json" | cut -d' ' -f1)
mv "$work/config.json" "$work/$config.json"
jq -nc --arg config "$config.json" --arg name "$name" \
  '[{Config: $config, RepoTags: [$name], Layers: ["layer.tar"]}]' > "$work/manifest.json"
tar -C "$work" -cf "$out.part" manifest.json "$config.json" layer.tar
mv "$out.part" "$out"
