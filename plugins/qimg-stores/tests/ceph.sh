#!/bin/bash
# A one-node Ceph RGW in memory, on loopback: ceph.sh FOLDER S3_PORT MONITOR_PORT. Ends when it answers.
set -e
folder=$1 port=$2 monitor=$3
mkdir -p "$folder"/{mon,osd,log,run}
id=$(cat /proc/sys/kernel/random/uuid)
cat > "$folder/ceph.conf" <<CONF
[global]
fsid = $id
mon host = [v2:127.0.0.1:$monitor]
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd crush chooseleaf type = 0
osd pool default pg num = 1
osd pool default pg autoscale mode = off
public addr = 127.0.0.1
run dir = $folder/run
log file = $folder/log/\$name.log
admin socket = $folder/run/\$name.asok
pid file = $folder/run/\$name.pid
osd objectstore = memstore
memstore device bytes = 1073741824
osd data = $folder/osd
mon data = $folder/mon
mon data avail warn = 1
mon data avail crit = 1
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
ms mon client mode = crc
keyring = $folder/keyring
CONF
conf=(-c "$folder/ceph.conf")
monmaptool --create --fsid "$id" --addv a "[v2:127.0.0.1:$monitor]" "$folder/monmap" >/dev/null
ceph-authtool --create-keyring "$folder/keyring" --gen-key -n client.rgw >/dev/null
ceph-mon "${conf[@]}" --mkfs -i a --monmap "$folder/monmap" 2>/dev/null
ceph-mon "${conf[@]}" -i a >/dev/null 2>&1
timeout 60 ceph "${conf[@]}" osd create >/dev/null
ceph-osd "${conf[@]}" -i 0 --mkfs --no-mon-config 2>/dev/null
ceph-osd "${conf[@]}" -i 0 >/dev/null 2>&1
timeout 60 radosgw-admin "${conf[@]}" -n client.rgw user create --uid=qimg --display-name=qimg \
  --access-key=qimgqimg --secret=qimgqimg >/dev/null
radosgw "${conf[@]}" -n client.rgw --rgw-data="$folder" >/dev/null 2>&1
for _ in $(seq 120); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then exit 0; fi
  sleep 0.5
done
exit 1
