#!/bin/sh
# The whole life of an account with curl: sign up, pay, get a token, connect, copy, rectify, erase.
#
#   ACCOUNTS=https://accounts.example:8443 CA=ca.pem sh crates/accounts/life.sh
#
# Each of these variables adds a step:
#   SHOP_KEY   a key of `mayfly-accounts keys shop`: pays for the account, and gets a token
#   NODE       https://node-1.example: enrols a device there, and shows its wg-quick file
#   CONNECT    the name of an interface: connects the device under it (as root), and disconnects
#   DATA       the service's data directory: is searched for the user after the erasure
#   RESOLVE    arguments of curl's --resolve, separated by spaces: names that no resolver knows
# It needs curl and jq, wg for NODE, and wg-quick for CONNECT.
set -eu

user=life-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
umask 077
# The password is in a file: other users can read the command line and the environment of curl.
printf 'user = "%s:%s"\n' "$user" "$password" >"$dir/login"
printf 'header = "Authorization: Bearer %s"\n' "${SHOP_KEY-}" >"$dir/shop"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# call CA METHOD URL [arguments of curl]: prints the answer's body, and the status on stderr.
call() {
    ca=$1 method=$2 url=$3
    shift 3
    for pair in ${RESOLVE-}; do set -- "$@" --resolve "$pair"; done
    printf '%s %s\n' "$method" "$url" >&2
    curl --silent --show-error --noproxy '*' --cacert "$ca" --request "$method" \
        --output "$dir/answer" --write-out '%{http_code}\n' "$@" "$url" >"$dir/status"
    printf -- '-> %s\n' "$(cat "$dir/status")" >&2
    cat "$dir/answer"
}
expect() { [ "$(cat "$dir/status")" = "$1" ] || { echo "expected $1" >&2; exit 1; }; }

say "Sign up: a name and a password, nothing else"
call "$CA" POST "$ACCOUNTS/v1/accounts" --json "{\"username\":\"$user\",\"password\":\"$password\"}"
expect 201

if [ -n "${SHOP_KEY-}" ]; then
    say "The shop reports a payment: reported twice, it counts once"
    payment="{\"payment\":\"payment-of-$user\",\"username\":\"$user\",\"subscription_days\":30}"
    for _ in 1 2; do
        call "$CA" POST "$ACCOUNTS/v1/payments" --config "$dir/shop" --json "$payment"
        expect 204
    done
    say "A token: nodes verify it offline, and do not learn the name"
    call "$CA" POST "$ACCOUNTS/v1/tokens" --config "$dir/login" \
        --json '{"client_version":"curl"}' >"$dir/token"
    expect 200
    jq -r .ca "$dir/token" >"$dir/node-ca"
    # The claims are the middle part, in base64url without padding.
    jq -r '.token | split(".")[1] | gsub("-";"+") | gsub("_";"/") | @base64d' "$dir/token"
fi

if [ -n "${NODE-}" ]; then
    say "Enrol a device"
    wg genkey >"$dir/key"
    jq -c --arg key "$(wg pubkey <"$dir/key")" '{token, public_key: $key}' "$dir/token" >"$dir/enrol"
    call "$dir/node-ca" POST "$NODE/v1/peers" --json @"$dir/enrol" >"$dir/peer"
    expect 200
    conf=$dir/${CONNECT:-wg0}.conf
    jq -r --rawfile key "$dir/key" '"[Interface]
PrivateKey = \($key | rtrimstr("\n"))
Address = \(.addresses | join(", "))
MTU = \(.mtu)
[Peer]
PublicKey = \(.public_key)
PresharedKey = \(.preshared_key)
AllowedIPs = \(.allowed_ips | join(", "))
Endpoint = \(.endpoint)
PersistentKeepalive = \(.persistent_keepalive)"' "$dir/peer" >"$conf"
    sed 's/^\(PrivateKey\|PresharedKey\) = .*/\1 = .../' "$conf"
fi

if [ -n "${CONNECT-}" ]; then
    say "Connect: devices is 1"
    wg-quick up "$conf" 2>"$dir/wg-quick"
    devices=0
    for _ in $(seq 60); do
        # A session counts from its first data packet, which here is this request.
        devices=$(call "$CA" GET "$ACCOUNTS/v1/account" --config "$dir/login" 2>"$dir/log" | jq .devices)
        [ "$devices" = 1 ] && break
        sleep 1
    done
    wg-quick down "$conf" 2>"$dir/wg-quick"
    echo "devices: $devices"
    [ "$devices" = 1 ]
fi

say "Copy: everything that is known of the account, and so everything that a court can get"
call "$CA" GET "$ACCOUNTS/v1/account" --config "$dir/login" | jq .
expect 200

say "Rectify: add an address, wish for IPv6, then remove the address"
call "$CA" PATCH "$ACCOUNTS/v1/account" --config "$dir/login" \
    --json "{\"email\":\"$user@mail.example\",\"has_ipv6\":1}" | jq -c '{email, has_ipv6, updated_at}'
expect 200
call "$CA" PATCH "$ACCOUNTS/v1/account" --config "$dir/login" --json '{"email":null}' |
    jq -c '{email, has_ipv6, updated_at}'
expect 200

say "A value that breaks a rule is refused with the reason"
call "$CA" PATCH "$ACCOUNTS/v1/account" --config "$dir/login" --json '{"country":"Atlantis"}' | jq .
expect 400

say "Erase"
call "$CA" DELETE "$ACCOUNTS/v1/account" --config "$dir/login"
expect 204
call "$CA" GET "$ACCOUNTS/v1/account" --config "$dir/login" | jq -c .
expect 401

if [ -n "${DATA-}" ]; then
    say "Search the service's files for $user"
    if grep --recursive --text --files-with-matches "$user" "$DATA"; then
        echo "it is still there" >&2
        exit 1
    fi
    echo "in no file"
fi
