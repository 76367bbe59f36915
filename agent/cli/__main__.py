"""`python -m agent.cli` is `camera-agent`."""

from agent.cli.main import main

main()
