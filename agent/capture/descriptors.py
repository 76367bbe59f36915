"""How many descriptors this process may have, and may have on their way to others."""

from __future__ import annotations

import resource


def raise_limit() -> None:
    """As many as the system lets us: each plane of each buffer has one.

    Those that readers have not taken yet count against the same limit (unix(7), ETOOMANYREFS), and a client that does
    not read must not keep the sink from getting its own. select(2), which could not cope, is used nowhere.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
