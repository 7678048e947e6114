# Sourced by the scripts that run tests.

# Installs a program from the system's package manager, unless it is there.
install_missing() { # command package
    command -v "$1" >/dev/null && return
    local root=""
    [ "$(id -u)" = 0 ] || root=sudo
    if command -v apt-get >/dev/null; then
        $root apt-get update -qq && $root apt-get install -y -qq "$2"
    elif command -v dnf >/dev/null; then
        $root dnf install -y -q "$2"
    elif command -v brew >/dev/null; then
        brew install -q "$2"
    else
        echo "$0: install $1 and run again" >&2
        return 1
    fi
}

# The same for a package whose server Debian would start on installing it, unless a policy forbids.
install_missing_server() { # command package
    local policy=/usr/sbin/policy-rc.d root=""
    command -v "$1" >/dev/null && return
    [ "$(id -u)" = 0 ] || root=sudo
    if ! command -v apt-get >/dev/null || [ -e "$policy" ]; then
        install_missing "$1" "$2"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod +x "$policy"
    install_missing "$1" "$2" || { $root rm "$policy"; return 1; }
    $root rm "$policy"
}
