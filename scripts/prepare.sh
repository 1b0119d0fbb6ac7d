# Installs what a fresh Debian machine lacks to build and test Exchange. Sourced by run and test.
# Nothing is touched that is already there; only apt needs root (or sudo).

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf '\033[1;31mexchange: %s\033[0m\n' "$*" >&2; exit 1; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${EXCHANGE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/exchange-tools}
cmake_wanted='cmake>=3.30,<5'

# package        why
apt_packages='
gcc              the C linker and the compiler of bundled C code (SQLite, Aeron)
g++              part of the Aeron media driver
make             builds the Aeron media driver
pkg-config       finds the libraries below
libclang1-14     reads the C headers of the Aeron media driver
libclang-common-14-dev  the compiler headers that libclang needs
libbsd-dev       a library of the Aeron media driver
uuid-dev         a library of the Aeron media driver
zlib1g-dev       a library of the Aeron media driver
libssl-dev       a library of the Aeron media driver
python3-venv     holds CMake, and the Python clients that the tests run
curl             fetches rustup
ca-certificates  lets curl check whom it talks to
'

install_apt_packages() {
  command -v dpkg-query >/dev/null || {
    say "no Debian packages on this system: please have these installed yourself:$apt_packages"
    return
  }
  local missing=() package why
  while read -r package why; do
    [[ -z $package ]] && continue
    # another source of the same tool will do
    [[ $package == python3-venv ]] && python3 -c 'import venv, ensurepip' 2>/dev/null && continue
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' && continue
    say "installing $package: $why"
    missing+=("$package")
  done <<<"$apt_packages"
  ((${#missing[@]})) || return 0
  local sudo=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "installing ${missing[*]} needs root: run apt-get install as root first"
    sudo=(sudo)
  fi
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_rust() {
  [[ -f $HOME/.cargo/env ]] && . "$HOME/.cargo/env"
  if ! command -v cargo >/dev/null; then
    say 'installing Rust with rustup: the exchange is written in it'
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default --quiet
    . "$HOME/.cargo/env"
  fi
  local have
  have=$(rustc --version | awk '{print $2}')
  local wanted
  wanted=$(awk -F'"' '/^rust-version/ {print $2}' "$root/Cargo.toml")
  if [[ $(printf '%s\n%s\n' "$wanted" "${have%%-*}" | sort -V | head -n 1) != "$wanted" ]]; then
    die "rustc $have is too old, $wanted or newer is needed: run rustup update stable"
  fi
}

install_cmake() {
  if [[ ! -x $tools/cmake/bin/cmake ]]; then
    say "installing CMake into $tools: Debian's is too old for the Aeron media driver"
    python3 -m venv "$tools/cmake"
    "$tools/cmake/bin/pip" install --quiet --disable-pip-version-check "$cmake_wanted"
  fi
  export CMAKE=$tools/cmake/bin/cmake
}

prepare() {
  install_apt_packages
  install_rust
  install_cmake
}
