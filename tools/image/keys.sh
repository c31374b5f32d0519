#!/usr/bin/env bash
# Keys that sign updates: keys.sh FOLDER makes a pair for development, once, outside the tree: ca.pem, which goes into
# images, and cert.pem and key.pem, which sign bundles. Whoever ships images gives keys of his own (INSTALL.md).
set -euo pipefail
folder=$1
[ ! -e "$folder/key.pem" ] || exit 0
umask 077
mkdir -p "$folder"
work=$(mktemp -d "$folder/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7300 -subj "/O=Gantry development/CN=updates CA" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
  -keyout "$work/ca-key.pem" -out "$work/ca.pem" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/O=Gantry development/CN=updates" \
  -keyout "$work/key.pem" -out "$work/request.pem" 2>/dev/null
openssl x509 -req -in "$work/request.pem" -CA "$work/ca.pem" -CAkey "$work/ca-key.pem" -CAcreateserial -days 7300 \
  -extfile <(printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection,codeSigning\n') \
  -out "$work/cert.pem" 2>/dev/null
mv "$work/ca.pem" "$work/cert.pem" "$work/ca-key.pem" "$folder/"
mv "$work/key.pem" "$folder/"
