"""The agent as a service: configuration, cameras that come and go, capture processes, systemd, on one event loop."""
