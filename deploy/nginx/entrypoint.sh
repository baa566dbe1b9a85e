#!/bin/sh
# Starts NGINX, or what is given instead of it, with its settings checked and a certificate in place.
# Usage: entrypoint.sh COMMAND [ARGUMENT]...
#        entrypoint.sh --healthcheck    exit 0 when this host's NGINX answers over TLS, else 1
# Environment: RATE_LIMIT, requests that one client may make in a second, and at once (0: no limit); HTTPS_PORT, where
# strangers reach TLS, for the redirect.
# /tls has tls.crt and tls.key. Where it has neither, and may be written to, a certificate is made for trying it.
set -eu

die() {
    echo "proxy: $1" >&2
    exit 1
}

# whole NAME VALUE MAXIMUM
whole() {
    case $2 in
    '' | *[!0-9]* | ???????*) ;;
    *) [ "$2" -gt "$3" ] || return 0 ;;
    esac
    die "$1: '$2' is not a whole number from 0 to $3"
}

settings() {
    port=
    [ "$HTTPS_PORT" = 443 ] || port=":$HTTPS_PORT"
    echo "map '' \$public_port { default '$port'; }"
    [ "$RATE_LIMIT" != 0 ] || return 0
    # Of an IPv6 client the address, though who has one has many: see docs/operations.md.
    echo "limit_req_zone \$binary_remote_addr zone=clients:10m rate=${RATE_LIMIT}r/s;"
    echo "limit_req zone=clients burst=$RATE_LIMIT nodelay;"
}

certificate() {
    for file in tls.crt tls.key; do
        if [ -e /tls/$file ] && [ ! -r /tls/$file ]; then die "/tls/$file: user $(id -u) may not read it"; fi
    done
    case $(ls /tls) in
    *tls.crt*tls.key*) return ;;
    *tls.crt* | *tls.key*) die '/tls: of tls.crt and tls.key only one is there' ;;
    esac
    [ -w /tls ] || die '/tls: no tls.crt and tls.key are there, and none can be made'
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 \
        -keyout /tls/key.new -out /tls/crt.new 2>/run/nginx/openssl || die "openssl: $(cat /run/nginx/openssl)"
    mv /tls/key.new /tls/tls.key
    mv /tls/crt.new /tls/tls.crt
    echo 'proxy: NO CERTIFICATE IS MOUNTED AT /tls: made a self-signed one for localhost, for trying it and nothing else' >&2
}

if [ "${1-}" = --healthcheck ]; then
    printf 'GET /healthz HTTP/1.0\r\n\r\n' | openssl s_client -quiet -connect 127.0.0.1:8443 2>/dev/null |
        grep -q '^HTTP/1.1 200 '
    exit
fi
RATE_LIMIT=${RATE_LIMIT:-100}
HTTPS_PORT=${HTTPS_PORT:-443}
whole RATE_LIMIT "$RATE_LIMIT" 999999
whole HTTPS_PORT "$HTTPS_PORT" 65535
settings >/run/nginx/settings.conf
certificate
exec "$@"
