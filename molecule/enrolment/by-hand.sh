# What the machine has been through: Debian from a DVD, with a password for root, and one for the person
# who installed it; no sudo, no Python, but somebody ticked "SSH server".
proxy="-o Acquire::http::Proxy=$1"
export DEBIAN_FRONTEND=noninteractive
apt-get -q $proxy update
apt-get -q -y $proxy --no-install-recommends install openssh-server
useradd --create-home --shell /bin/bash --comment 'Installateur' installateur
printf '%s\n' 'installateur:password of the installer' 'root:password of root' | chpasswd
# sudo lets itself be removed only where root has a password
apt-get -q -y $proxy purge --autoremove sudo python3 python3-minimal
mkdir -p /srv/dmi
echo VB-HAND-1 > /srv/dmi/product_serial
