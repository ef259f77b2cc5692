# What the machine has been through: somebody's administrator, somebody's colleague, a directory of accounts.
proxy="-o Acquire::http::Proxy=$1"
export DEBIAN_FRONTEND=noninteractive
apt-get -q $proxy update
apt-get -q -y $proxy --no-install-recommends install openssh-server libnss-extrausers
useradd --create-home --shell /bin/bash admin
useradd --create-home --shell /bin/bash --groups sudo jdupont
echo 'jdupont:password of jdupont' | chpasswd
echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin
mkdir -p ~admin/.ssh
echo "$2" > ~admin/.ssh/authorized_keys
chown -R admin: ~admin/.ssh
sed -i 's/^passwd:.*/passwd: files extrausers/' /etc/nsswitch.conf
mkdir -p /var/lib/extrausers
echo 'ldupond:x:20001:20001:Léa Dupond:/home/ldupond:/bin/bash' > /var/lib/extrausers/passwd
