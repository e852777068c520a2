# What a script run by Slipway can call. Works in every POSIX shell.
ulimit -c 0 2>/dev/null || :
_slipway_count=0

_slipway_encode() {
    if command -v base64 >/dev/null 2>&1; then
        printf '%s' "${1:-}" | base64 | tr -d '\r\n'
    else
        printf '%s' "${1:-}" | openssl enc -base64 -A
    fi
}

_slipway_level() {
    printf '##octopus[stdout-%s%s]\n%s\n##octopus[stdout-default%s]\n' "$1" "$_slipway_nonce" "$2" "$_slipway_nonce"
}

_slipway_find() {
    _slipway_index=$_slipway_count
    while [ "$_slipway_index" -gt 0 ]; do
        eval "_slipway_name=\$_slipway_name_$_slipway_index"
        case "$1" in
        "$_slipway_name")
            eval "_slipway_value=\$_slipway_value_$_slipway_index"
            return 0
            ;;
        esac
        _slipway_index=$((_slipway_index - 1))
    done
    _slipway_lookup "$1"
}

# get_octopusvariable NAME: print the variable's value, nothing if there is none.
get_octopusvariable() {
    if [ -n "${BASH_VERSION:-}" ] && ! shopt -q nocasematch; then
        shopt -s nocasematch
        _slipway_find "${1:-}"
        shopt -u nocasematch
    else
        _slipway_find "${1:-}"
    fi
    printf '%s' "$_slipway_value"
}

# set_octopusvariable NAME VALUE [-sensitive]: set an output variable.
set_octopusvariable() {
    _slipway_count=$((_slipway_count + 1))
    eval "_slipway_name_$_slipway_count=\${1:-} _slipway_value_$_slipway_count=\${2:-}"
    _slipway_sensitive=
    if [ "${3:-}" = "-sensitive" ]; then
        _slipway_sensitive=" sensitive='VHJ1ZQ=='"
    fi
    printf "##octopus[setVariable name='%s' value='%s'%s%s]\n" \
        "$(_slipway_encode "${1:-}")" "$(_slipway_encode "${2:-}")" "$_slipway_sensitive" "$_slipway_nonce"
}

# new_octopusartifact PATH [NAME]: keep a file with the deployment.
new_octopusartifact() {
    if [ ! -f "${1:-}" ]; then
        printf '%s\n' "\"${1:-}\" does not exist or is not a file." >&2
        exit 1
    fi
    case "$1" in
    /*) _slipway_path=$1 ;;
    *) _slipway_path=$PWD/$1 ;;
    esac
    _slipway_name=${2:-${1##*/}}
    _slipway_level verbose "Artifact $_slipway_name will be collected from $_slipway_path after this step completes"
    printf "##octopus[createArtifact path='%s' name='%s' length='%s'%s]\n" "$(_slipway_encode "$_slipway_path")" \
        "$(_slipway_encode "$_slipway_name")" "$(_slipway_encode "$(wc -c <"$1" | tr -d ' ')")" "$_slipway_nonce"
}

# fail_step [MESSAGE]: end the step as failed.
fail_step() {
    if [ -n "${1:-}" ]; then
        printf "##octopus[resultMessage message='%s'%s]\n" "$(_slipway_encode "$1")" "$_slipway_nonce"
    fi
    exit 1
}

# update_progress PERCENT [MESSAGE]
update_progress() {
    printf "##octopus[progress percentage='%s' message='%s'%s]\n" \
        "$(_slipway_encode "${1:-}")" "$(_slipway_encode "${2:-}")" "$_slipway_nonce"
}

write_verbose() { _slipway_level verbose "${1:-}"; }
write_highlight() { _slipway_level highlight "${1:-}"; }
write_wait() { _slipway_level wait "${1:-}"; }
write_warning() { _slipway_level warning "${1:-}"; }

