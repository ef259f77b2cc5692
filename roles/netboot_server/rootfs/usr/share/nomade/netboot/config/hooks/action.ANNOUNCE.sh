# The action that GRUB asked for is replaced by one that touches no disk.
FAI_ACTION=announce
