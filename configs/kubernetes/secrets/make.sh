#!/bin/sh
# Makes the files that kustomization.yaml names.  What is there stays as it is.
#
#   ./make.sh broker.example.com            what is missing; HOST is how vehicles reach the broker
#   ./make.sh --user demo/demo-boat         a vehicle's (or operator's) password at the broker, printed once
#
# Needs openssl, and mosquitto_passwd (package mosquitto).
set -eu
umask 077
cd "$(dirname "$0")"

secret() { openssl rand -hex 24; }

# $1: file, $2: user, $3: password
user() {
    [ -e "$1" ] || : > "$1"
    mosquitto_passwd -b "$1" "$2" "$3"
}

authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=dicem broker CA" \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
        -keyout ca.key -out ca.crt
}

# $1: the broker's name in the world.  The others are its names in the cluster.
certificate() {
    case $1 in
        *[!0-9.]*) name="DNS:$1" ;;
        *) name="IP:$1" ;;
    esac
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout tls.key -out tls.csr
    {
        echo "subjectAltName=$name,DNS:dicem-broker,DNS:dicem-broker.dicem,DNS:dicem-broker.dicem.svc"
        echo "basicConstraints=critical,CA:FALSE"
        echo "extendedKeyUsage=serverAuth"
    } > tls.ext
    openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -extfile tls.ext -out tls.crt
    rm -f tls.csr tls.ext ca.srl
}

if [ "${1:-}" = "--user" ] && [ $# -eq 2 ]; then
    case $2 in
        operator) ;;
        *[!A-Za-z0-9_/-]* | */*/* | /* | */ | -*) echo "make.sh: a vehicle's user is FLEET/VEHICLE" >&2; exit 2 ;;
        */*) ;;
        *) echo "make.sh: a vehicle's user is FLEET/VEHICLE" >&2; exit 2 ;;
    esac
    password=$(secret)
    user vehicles "$2" "$password"
    echo "$password"
    exit 0
fi
case ${1:--} in
    -*) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

[ -e ca.crt ] || authority 2>/dev/null
[ -e tls.crt ] || certificate "$1" 2>/dev/null
[ -e vehicles ] || : > vehicles
if [ ! -e gateway.env ]; then
    password=$(secret)
    user gateways cloud "$password"
    {
        echo "DICEM_BROKER_PASSWORD=$password"
        echo "DICEM_TOKEN=$(secret)"
        echo "DICEM_METRICS_TOKEN=$(secret)"
    } > gateway.env
fi
[ -e database.env ] || echo "POSTGRES_PASSWORD=$(secret)" > database.env
echo "secrets are in $(pwd); ca.key belongs in a safe, not in the cluster" >&2
