#!/bin/busybox sh
# The first process of the machine that vm.sh starts.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in virtio_pci virtio_blk 9pnet_virtio 9p overlay crc32c_generic ext4; do modprobe $module; done
options=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o ro,cache=loose,$options root /lower
mount -t ext4 /dev/vda /scratch
mkdir /scratch/upper /scratch/work /scratch/state
mount -t overlay -o lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work root /root
for dir in proc sys dev; do mount --move /$dir /root/$dir; done
cd /root
mount -t tmpfs tmpfs run
mkdir -p dev/shm dev/pts mnt/result lib/modules/$(uname -r) mnt/disk
mount -t tmpfs tmpfs dev/shm
mount -t devpts devpts dev/pts
mount -t 9p -o $options result mnt/result
mount -t 9p -o ro,cache=loose,$options modules lib/modules/$(uname -r)
mount --bind /scratch/state mnt/disk # no layer below: containerd can stack there
mount -t cgroup2 cgroup2 sys/fs/cgroup
cd /
exec switch_root /root /bin/sh /mnt/result/start
