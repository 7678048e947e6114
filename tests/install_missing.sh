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
