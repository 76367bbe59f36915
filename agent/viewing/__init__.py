"""Pictures for those who look: a process for each camera that is looked at, a client of the frame socket."""
