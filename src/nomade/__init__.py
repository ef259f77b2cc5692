"""What the controller's side of Nomade shares: the register, preflight, and the command line."""
