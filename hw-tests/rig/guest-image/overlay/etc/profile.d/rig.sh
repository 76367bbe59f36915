# The project and what it needs come first for a person at the rig's shell, as they do for its tests.
PATH=/opt/camera-agent/bin:$PATH
PYTHONDONTWRITEBYTECODE=1
export PATH PYTHONDONTWRITEBYTECODE
