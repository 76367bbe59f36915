"""HTTP API over the unix socket, its client, and who may do what."""
