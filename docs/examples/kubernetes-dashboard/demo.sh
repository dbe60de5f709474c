#!/usr/bin/env bash
# Runs the example: its app, and postern with the manifests beside this file.
# Usage: demo.sh POSTERN APP [FLAGS FOR postern up]
# Ctrl-C, or the end of either program, ends both.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: demo.sh POSTERN APP [FLAGS FOR postern up]; or run: make demo" >&2
  exit 2
fi
postern=$1 app=$2
shift 2
manifests=$(cd "$(dirname "$0")" && pwd)

http=127.0.0.1:8080      # postern's own defaults
https=127.0.0.1:8443
dashboard=127.0.0.1:9443 # as in endpoints.yaml
about=127.0.0.1:9080
catalog=127.0.0.1:9081
start_deciseconds=300    # how long a program may take to listen
stop_deciseconds=100     # how long it may take to end before it is killed

answers() { # HOST:PORT
  (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null
}

for address in $http $https $dashboard $about $catalog; do
  if answers "$address"; then
    echo "demo: another program listens on $address; stop it and try again." >&2
    exit 1
  fi
done

children=()
names=()

alive() { kill -0 "$1" 2>/dev/null; }

stop() {
  trap '' INT TERM # a second Ctrl-C must not leave a child behind
  for pid in ${children[@]+"${children[@]}"}; do
    kill -TERM "$pid" 2>/dev/null || true
  done
  for pid in ${children[@]+"${children[@]}"}; do
    for ((i = 0; i < stop_deciseconds; i++)); do
      alive "$pid" || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'exit 0' INT TERM

# A program that ends by itself has said why; its exit status becomes ours.
require_alive() {
  local i status
  for i in "${!children[@]}"; do
    alive "${children[$i]}" && continue
    status=0
    wait "${children[$i]}" || status=$?
    echo "demo: ${names[$i]} has ended (its words are above)." >&2
    exit $((status == 0 ? 1 : status))
  done
}

start() { # NAME HOST:PORT COMMAND...
  local name=$1 address=$2 i
  shift 2
  "$@" </dev/null &
  children+=($!)
  names+=("$name")
  for ((i = 0; i < start_deciseconds; i++)); do
    require_alive
    ! answers "$address" || return 0
    sleep 0.1
  done
  echo "demo: $name does not listen on $address after $((start_deciseconds / 10)) seconds." >&2
  exit 1
}

# Waiting at the plain ports: a probe of the others is a broken TLS handshake,
# which the programs would report.
start "the example app" $about "$app" --listen $dashboard --about-listen $about --catalog-listen $catalog
start postern $http "$postern" up -f "$manifests" --http $http --https $https \
  --ingress-selector app=traefik --upstream-insecure-skip-verify "$@"

cat <<EOF

Open in a browser (the certificate is self-signed; the token is postern-demo-token):
  http://$http/k8s/      the stand-in for the Kubernetes dashboard
  http://$http/catalog/  a page that says <base href="/">
  http://$http/traefik/  about this demo

Or try:
  curl -i  http://$http/k8s/             # to https, with the path kept
  curl -ik https://$https/k8s             # to /k8s/, so that relative addresses work
  curl -k  https://$https/k8s/            # the page
  curl -ik https://$https/k8s/style.css   # Content-Type: text/css
  curl -ik https://$https/k8s/old         # Location: / becomes /k8s/
  curl -s  http://$http/catalog/ | grep "base href"  # the prefix stands in it
  curl -k  https://$https/k8s/api/v1/request  # what the dashboard was sent

Edit a file in docs/examples/kubernetes-dashboard and ask again. Ctrl-C ends all.
EOF

while require_alive; do
  sleep 1
done
