#!/usr/bin/env bash
# Runs a command in this checkout on a machine whose control groups are of version 2 alone: a virtual one with Debian's kernel, which sees this
# machine's root file system below a layer of its own. What is installed and cached here is there, what it writes is gone when it ends, and it has no
# network. The processor is emulated, so that it runs wherever qemu does, some ten times as slow; VM_ACCEL=kvm is faster on a machine with virtualization in
# hardware.
#
#   vm.sh COMMAND...   runs it with this environment, prints what it prints, exits as it does; VM_MEMORY in MiB (default 6000)
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fairlead}/vm

not_run() {
  echo "NOT RUN: on a machine with control groups of version 2 alone, because $1" >&2
  [ "${REQUIRE_PRIVILEGED:-}" != 1 ]
  exit
}
[ $# -gt 0 ] || { echo "usage: vm.sh COMMAND..." >&2; exit 2; }
[ "$(id -u)" = 0 ] || not_run "it shows all of this machine's files, which needs root"
export PATH=$PATH:/usr/sbin:/sbin
missing=()
command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
command -v modprobe >/dev/null || missing+=(kmod)
command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
command -v busybox >/dev/null || missing+=(busybox)
hack/install-packages.sh "${missing[@]}" || not_run "packages are missing"

# unpacked PACKAGE makes the directory with what a Debian package holds, without installing it.
unpacked() {
  [ ! -e "$cache/$1" ] || return 0
  local new
  mkdir -p "$cache"
  new=$(mktemp -d "$cache/new.XXXXXX")
  chmod 755 "$new"
  (cd "$new" && apt-get download -qq "$1" && dpkg -x ./*.deb root) || { rm -r "$new"; not_run "Debian's package $1 cannot be had"; exit 1; }
  mv "$new/root" "$cache/$1"
  rm -r "$new"
}
kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p')
[ -n "$kernel" ] || { not_run "apt knows no linux-image-amd64: it takes Debian on amd64, and apt-get update"; exit 1; }
unpacked "$kernel"
unpacked busybox-static
version=${kernel#linux-image-}
busybox=$cache/busybox-static/bin/busybox
modules=$cache/$kernel/lib/modules/$version
[ -e "$modules/modules.dep" ] || depmod -b "$cache/$kernel" "$version"

work=$(mktemp -d "${TMPDIR:-/tmp}/fairlead-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT

# What the kernel starts first: the modules for this machine's files and a disk, and vm-init.sh.
root=$work/initrd
mkdir -p "$root"/{bin,dev,proc,sys,lower,scratch,root} "$root/lib/modules/$version"
cp "$busybox" "$root/bin/busybox"
install -m 755 hack/vm-init.sh "$root/init"
for module in virtio_pci virtio_blk 9pnet_virtio 9p overlay ext4 crc32c_generic; do
  grep "/$module\.ko:" "$modules/modules.dep"
done | tr -d : | tr ' ' '\n' | grep . | sort -u >"$work/files"
(cd "$modules" && cp --parents $(<"$work/files") modules.dep modules.alias modules.symbols "$root/lib/modules/$version")
(cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$work/initrd.cpio"
rm -r "$root"

truncate -s 20G "$work/disk" # which takes the space of what is written
mkfs.ext4 -q "$work/disk"
mkdir "$work/result"
{ export -p; printf 'cd %q\nexec' "$PWD"; printf ' %q' "$@"; } >"$work/result/command"
cat >"$work/result/start" <<'END'
ip link set lo up
ulimit -n 1048576
bash /mnt/result/command </dev/null >/dev/ttyS0 2>&1
echo $? >/mnt/result/status
sync
exec busybox poweroff -f
END

share() { echo "-virtfs local,path=$1,mount_tag=$2,security_model=none,multidevs=remap,id=$2$3"; }
# shellcheck disable=SC2046 # the shares are several words
nice -n 19 qemu-system-x86_64 -accel "${VM_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m "${VM_MEMORY:-6000}" -nic none -display none -serial stdio -no-reboot \
  -kernel "$cache/$kernel/boot/vmlinuz-$version" -initrd "$work/initrd.cpio" \
  -append "console=ttyS0 quiet loglevel=3 panic=-1 cgroup_no_v1=all mitigations=off" \
  $(share / root ,readonly=on) $(share "$modules" modules ,readonly=on) $(share "$work/result" result "") \
  -drive "file=$work/disk,if=virtio,format=raw,cache=unsafe" </dev/null
[ -e "$work/result/status" ] || { echo "the virtual machine has ended before the command" >&2; exit 1; }
exit "$(<"$work/result/status")"
