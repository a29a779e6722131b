#!/bin/sh
# A user's whole life with curl: sign up, pay, get a token, connect, copy, rectify, erase.
#
#   ACCOUNTS=https://accounts.example:8443 CA=ca.pem sh crates/accounts/life.sh
#
# More, each if it is set:
#   SHOP_KEY   a key of `mayfly-accounts keys shop`: the account is paid for, and gets a token
#   NODE       https://node-1.example: a device is enrolled there, and its wg-quick file is shown
#   CONNECT    an interface's name: as root, the device connects under it, and leaves again
#   DATA       the service's data directory: it is searched for the user after the erasure
#   RESOLVE    what curl's --resolve takes, words apart: names that no resolver knows
# It needs curl and jq, and for NODE wg, for CONNECT wg-quick.
set -eu

user=life-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
umask 077
# Neither the command line nor the environment of curl has the password: others can read them.
printf 'user = "%s:%s"\n' "$user" "$password" >"$dir/login"
printf 'header = "Authorization: Bearer %s"\n' "${SHOP_KEY-}" >"$dir/shop"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# call CA METHOD URL [BODY] [curl's words]: the answer's body; says the status.
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
    say "The shop tells a payment; told twice, it counts once"
    payment="{\"payment\":\"payment-of-$user\",\"username\":\"$user\",\"subscription_days\":30}"
    for _ in 1 2; do
        call "$CA" POST "$ACCOUNTS/v1/payments" --config "$dir/shop" --json "$payment"
        expect 204
    done
    say "A token: nodes verify it offline, and learn no name"
    call "$CA" POST "$ACCOUNTS/v1/tokens" --config "$dir/login" \
        --json '{"client_version":"curl"}' >"$dir/token"
    expect 200
    jq -r .ca "$dir/token" >"$dir/node-ca"
    # The claims are the middle part, base64url without padding.
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
        # A session counts from its first data packet; here it is this question.
        devices=$(call "$CA" GET "$ACCOUNTS/v1/account" --config "$dir/login" 2>"$dir/log" | jq .devices)
        [ "$devices" = 1 ] && break
        sleep 1
    done
    wg-quick down "$conf" 2>"$dir/wg-quick"
    echo "devices: $devices"
    [ "$devices" = 1 ]
fi

say "Copy: all that is known of the account, and all that a court can get"
call "$CA" GET "$ACCOUNTS/v1/account" --config "$dir/login" | jq .
expect 200

say "Rectify: add an address, wish for IPv6, then remove the address"
call "$CA" PATCH "$ACCOUNTS/v1/account" --config "$dir/login" \
    --json "{\"email\":\"$user@mail.example\",\"has_ipv6\":1}" | jq -c '{email, has_ipv6, updated_at}'
expect 200
call "$CA" PATCH "$ACCOUNTS/v1/account" --config "$dir/login" --json '{"email":null}' |
    jq -c '{email, has_ipv6, updated_at}'
expect 200

say "What breaks a rule is refused with the reason"
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
