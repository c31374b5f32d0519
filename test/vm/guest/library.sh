# A tape library and two disks behind tgtd in the guest, logged in to by open-iscsi, so that there are real st, ch, sd
# and sg nodes. Source it, then: library_start.
library_start() {
  local folder=/tmp/library name=iqn.2024-01.org.gantry.test admin='tgtadm -C 1 --lld iscsi' lun slot element
  mkdir -p $folder /run/tgtd
  tgtd -C 1 --iscsi portal=127.0.0.1:3260
  until tgtadm -C 1 --op show --mode sys >/dev/null 2>&1; do sleep 0.1; done
  truncate -s 1k $folder/changer
  for slot in 1 2 3 4; do
    tgtimg --op new --device-type tape --barcode TAPE000$slot --size 96 --type data --file $folder/TAPE000$slot --thin-provisioning >/dev/null
  done
  $admin --op new --mode target --tid 1 -T $name:library
  for lun in 1 2; do
    $admin --op new --mode logicalunit --tid 1 --lun $lun -b $folder/TAPE000$lun --device-type=tape
    $admin --op update --mode logicalunit --tid 1 --lun $lun --params online=0,scsi_sn=DRIVE$lun
  done
  $admin --op new --mode logicalunit --tid 1 --lun 3 -b $folder/changer --device-type=changer
  local set="$admin --op update --mode logicalunit --tid 1 --lun 3 --params"
  $set media_home=$folder
  $set element_type=4,start_address=1,quantity=2
  for element in 1 2; do $set element_type=4,address=$element,tid=1,lun=$element; done
  $set element_type=1,start_address=100,quantity=1
  $set element_type=2,start_address=1000,quantity=4
  for slot in 1 2 3 4; do $set element_type=2,address=$((999 + slot)),barcode=TAPE000$slot,sides=1; done
  $admin --op bind --mode target --tid 1 -I ALL
  iscsid
  iscsiadm -m node -o new -T $name:library -p 127.0.0.1:3260 >/dev/null
  iscsiadm -m node -T $name:library -p 127.0.0.1:3260 --login >/dev/null
}
